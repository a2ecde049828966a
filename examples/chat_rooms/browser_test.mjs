// Opens the page in tabs of Chromium and uses it as its users would.
// Usage: node browser_test.mjs URL CHROMIUM PROGRAM
import assert from "node:assert/strict";
import { run, serve, url } from "../browser/driver.mjs";

const checks = {
  async "two tabs see each other join, speak and leave"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    await join(ann, "tea");
    await members(ann, "tea", ["ann"]);
    await join(bob, "tea");
    for (const tab of [ann, bob]) await members(tab, "tea", ["ann", "bob"]);
    await notice(ann, "tea", "bob has joined");

    await say(ann, "tea", "hello");
    await say(bob, "tea", "hi, ann");
    for (const tab of [ann, bob]) {
      await message(tab, "tea", "ann", "hello");
      await message(tab, "tea", "bob", "hi, ann");
    }

    await room(bob, "tea").locator(".leave").click();
    await room(bob, "tea").waitFor({ state: "detached" });
    await notice(ann, "tea", "bob has left");
    await members(ann, "tea", ["ann"]);
  },

  async "a reload leaves the rooms, and the member list follows"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    await join(ann, "tea");
    await join(bob, "tea");
    await members(ann, "tea", ["ann", "bob"]);
    await bob.reload();
    await members(ann, "tea", ["ann"]);
    await enter(bob, "bob again");
    await join(bob, "tea");
    for (const tab of [ann, bob]) await members(tab, "tea", ["ann", "bob again"]);
    await bob.close();
    await members(ann, "tea", ["ann"]);
  },

  async "a message reaches the members of its room only"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    for (const tab of [ann, bob]) await join(tab, "tea");
    await members(ann, "tea", ["ann", "bob"]);
    await join(bob, "cake");
    await say(bob, "cake", "in cake");
    await message(bob, "cake", "bob", "in cake");
    await select(bob, "tea");
    await say(bob, "tea", "in tea");
    await message(ann, "tea", "bob", "in tea");
    assert.equal(await ann.getByText("in cake").count(), 0);
  },

  async "the room list shows the open room and counts unread messages"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    await join(bob, "tea");
    for (const title of ["tea", "cake"]) await join(ann, title);
    await rooms(ann, { tea: "", cake: "" }, "cake");
    await say(bob, "tea", "one");
    await say(bob, "tea", "two");
    await rooms(ann, { tea: "2", cake: "" }, "cake");
    assert.equal(await room(ann, "tea").isVisible(), false);
    await select(ann, "tea");
    await rooms(ann, { tea: "", cake: "" }, "tea");
    await message(ann, "tea", "bob", "two");
    await room(ann, "tea").locator(".leave").click();
    await rooms(ann, { cake: "" }, "cake");
  },

  async "a message has the name of its sender and a time"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    for (const tab of [ann, bob]) await join(tab, "tea");
    await say(bob, "tea", "on time");
    const said = room(ann, "tea").locator(".said").filter({ hasText: "on time" });
    const sent = new Date(await said.locator("time").getAttribute("datetime"));
    assert.ok(Math.abs(Date.now() - sent) < 60_000, `${sent}`);
    assert.match(await said.locator("time").textContent(), /^\d\d:\d\d/);
    assert.equal(await said.locator(".name").textContent(), "bob");
    // Screen readers announce new messages.
    assert.equal(await room(ann, "tea").locator(".log").getAttribute("role"), "log");
  },

  async "one name in two tabs is two members"(tab, open) {
    const other = await open();
    for (const page of [tab, other]) await enter(page, "ann");
    for (const page of [tab, other]) await join(page, "tea");
    for (const page of [tab, other]) await members(page, "tea", ["ann", "ann"]);
    assert.equal(await room(tab, "tea").locator(".you").count(), 1);
    await other.close();
    await members(tab, "tea", ["ann"]);
  },

  async "an error is shown at its field until the next attempt"(ann) {
    await ann.goto(url);
    await submit(ann, "#name", "x".repeat(31));
    await error(ann, "#name", "validation_failed");
    assert.match(await ann.textContent("#name-error"), /1 to 30 characters/);
    assert.equal(await ann.inputValue("#name input"), "x".repeat(31));
    await submit(ann, "#name", "ann");
    await join(ann, "");
    await error(ann, "#join", "invalid_room");
    await join(ann, "tea");
    await members(ann, "tea", ["ann"]);
    await noError(ann, "#join");

    await say(ann, "tea", "");
    await error(ann, `section[data-room="tea"]`, "validation_failed");
    await noError(ann, "#join");
    await say(ann, "tea", "fine");
    await message(ann, "tea", "ann", "fine");
    await noError(ann, `section[data-room="tea"]`);
  },

  async "a user at the limit of rooms can leave one and join another"(ann) {
    await enter(ann, "ann");
    for (const title of ["tea", "cake", "jam"]) {
      await join(ann, title);
      await members(ann, title, ["ann"]);
    }
    await noError(ann, "#join");
    await join(ann, "milk");
    await error(ann, "#join", "too_many_rooms");
    await select(ann, "cake");
    await room(ann, "cake").locator(".leave").click();
    await room(ann, "cake").waitFor({ state: "detached" });
    await join(ann, "milk");
    await members(ann, "milk", ["ann"]);
  },

  async "names and messages are shown as text, not as markup"(ann) {
    const markup = "<b id=injected>\u{1F980}</b>";
    await enter(ann, markup);
    await join(ann, "<i id=injected>");
    await say(ann, "<i id=injected>", markup);
    await message(ann, "<i id=injected>", markup, markup);
    await members(ann, "<i id=injected>", [markup]);
    assert.equal(await ann.locator("#injected").count(), 0);
  },

  async "the page fits a phone, with long names and texts too"(ann) {
    await ann.setViewportSize({ width: 390, height: 700 });
    const long = "x".repeat(30);
    await enter(ann, long);
    for (const title of [long, "another room", "and one more room"]) await join(ann, title);
    await select(ann, long);
    for (let count = 0; count < 9; count += 1) await say(ann, long, "y".repeat(200));
    const said = room(ann, long).locator(".said");
    await said.nth(8).waitFor();
    const size = () => [document.documentElement.scrollWidth, document.documentElement.scrollHeight];
    assert.deepEqual(await ann.evaluate(size), [390, 700]);
    // The newest message and its field are in view.
    for (const element of [said.nth(8), room(ann, long).locator("form button")]) {
      const { x, y, width, height } = await element.boundingBox();
      assert.ok(x >= 0 && y >= 0 && x + width <= 390 && y + height <= 700);
    }
  },

  async "the page reconnects after a restart of the server and joins its rooms again"(ann) {
    const first = await serve(8028);
    await enter(ann, "ann", first.url);
    await join(ann, "tea");
    await join(ann, "cake");
    await say(ann, "cake", "before");
    await message(ann, "cake", "ann", "before");
    await first.stop();
    await state(ann, "reconnecting");
    assert.equal(await room(ann, "cake").locator("form button").isDisabled(), true);
    assert.equal(await ann.isDisabled("#join button"), true);

    const second = await serve(8028);
    await state(ann, "connected");
    await notice(ann, "cake", "You are connected again. You may have missed messages.");
    for (const title of ["tea", "cake"]) await members(ann, title, ["ann"]);
    await rooms(ann, { tea: "", cake: "" }, "cake");
    await say(ann, "cake", "after");
    for (const text of ["before", "after"]) await message(ann, "cake", "ann", text);
    await second.stop();
  },
};

async function submit(page, form, text) {
  await page.fill(`${form} input`, text);
  await page.click(`${form} button`);
}

async function enter(page, name, address = url) {
  await page.goto(address);
  await state(page, "connected");
  await submit(page, "#name", name);
}

async function state(page, name) {
  await page.locator("#state").getByText(name, { exact: true }).waitFor();
}

async function join(page, title) {
  await submit(page, "#join", title);
  if (title) await page.waitForFunction((title) => {
    const section = document.querySelector(`section[data-room="${title}"]`);
    return section?.hidden === false || document.getElementById("join-error").textContent;
  }, title);
}

async function select(page, title) {
  await page.locator("#rooms button").filter({ hasText: title }).click();
  await room(page, title).waitFor();
}

function room(page, title) {
  return page.locator(`section[data-room="${title}"]`);
}

async function say(page, title, text) {
  await room(page, title).locator("input").fill(text);
  await room(page, title).locator("form button").click();
}

async function message(page, title, name, text) {
  const named = page.locator(".name").getByText(name, { exact: true });
  const said = room(page, title).locator(".said").filter({ has: named });
  await said.locator(".text").getByText(text, { exact: true }).waitFor();
}

async function notice(page, title, text) {
  await room(page, title).locator(".notice").getByText(text, { exact: true }).waitFor();
}

async function error(page, place, code) {
  await page.locator(`${place} .error[data-code="${code}"]`).waitFor();
  assert.equal(await page.getAttribute(`${place} input`, "aria-invalid"), "true");
}

async function noError(page, place) {
  assert.equal(await page.textContent(`${place} .error`), "");
  assert.equal(await page.getAttribute(`${place} input`, "aria-invalid"), null);
}

async function members(page, title, names) {
  const shows = ([title, names]) => {
    const section = document.querySelector(`section[data-room="${title}"]`);
    const items = [...(section?.querySelectorAll(".member .name") ?? [])];
    const count = names.length === 1 ? "1 member" : `${names.length} members`;
    return items.map((item) => item.textContent).join() === names.join()
      && section?.querySelector(".count").textContent === count;
  };
  await page.waitForFunction(shows, [title, names]);
}

// `unread` has the unread count of each room, in the order of the list.
async function rooms(page, unread, current) {
  const shows = ([unread, current]) => {
    const text = (item, selector) => item.querySelector(selector).textContent;
    const items = [...document.querySelectorAll("#rooms button")];
    const shown = items.map((item) => [text(item, ".title"), text(item, ".unread")]);
    const open = items.filter((item) => item.getAttribute("aria-current") === "true");
    return JSON.stringify(shown) === JSON.stringify(unread)
      && open.map((item) => text(item, ".title")).join() === current;
  };
  await page.waitForFunction(shows, [Object.entries(unread), current]);
}

await run(checks);
