// Opens the page in two tabs of Chromium, and checks what their users would.
// Usage: node browser_test.mjs URL CHROMIUM
import assert from "node:assert/strict";
import { run, url } from "../browser/driver.mjs";

const checks = {
  async "two tabs see each other join, speak and leave"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    await join(ann, "tea");
    await members(ann, "tea", ["ann"]);
    await join(bob, "tea");
    for (const tab of [ann, bob]) await members(tab, "tea", ["ann", "bob"]);
    await line(ann, "tea", "bob has joined");

    await say(ann, "tea", "hello");
    await say(bob, "tea", "hi, ann");
    for (const tab of [ann, bob]) {
      await line(tab, "tea", "ann: hello");
      await line(tab, "tea", "bob: hi, ann");
    }

    await room(bob, "tea").locator(".leave").click();
    await room(bob, "tea").waitFor({ state: "detached" });
    await line(ann, "tea", "bob has left");
    await members(ann, "tea", ["ann"]);
  },

  async "a reload leaves, and the member list follows"(ann, open) {
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

  async "a room hears nothing of another"(ann, open) {
    const bob = await open();
    await enter(ann, "ann");
    await enter(bob, "bob");
    for (const tab of [ann, bob]) await join(tab, "tea");
    await members(ann, "tea", ["ann", "bob"]);
    await join(bob, "cake");
    await say(bob, "cake", "in cake");
    await say(bob, "tea", "in tea");
    await line(bob, "cake", "bob: in cake");
    await line(ann, "tea", "bob: in tea");
    assert.equal(await ann.getByText("in cake").count(), 0);
  },

  async "one name in two tabs is two members"(tab, open) {
    const other = await open();
    for (const page of [tab, other]) await enter(page, "ann");
    for (const page of [tab, other]) await join(page, "tea");
    for (const page of [tab, other]) await members(page, "tea", ["ann", "ann"]);
    await other.close();
    await members(tab, "tea", ["ann"]);
  },

  async "limits are told, and what is allowed goes on"(ann) {
    await ann.goto(url);
    await submit(ann, "#name", "x".repeat(31));
    await error(ann, "validation_failed");
    await submit(ann, "#name", "ann");
    await join(ann, "");
    await error(ann, "invalid_room");
    for (const title of ["tea", "cake", "jam"]) {
      await join(ann, title);
      await members(ann, title, ["ann"]);
    }
    assert.equal(await ann.textContent("#error"), "");
    await join(ann, "milk");
    await error(ann, "too_many_rooms");
    await room(ann, "cake").locator(".leave").click();
    await room(ann, "cake").waitFor({ state: "detached" });
    await join(ann, "milk");
    await members(ann, "milk", ["ann"]);
  },

  async "names and texts are shown as texts"(ann) {
    const markup = "<b id=injected>\u{1F980}</b>";
    await enter(ann, markup);
    await join(ann, "<i id=injected>");
    await say(ann, "<i id=injected>", markup);
    await line(ann, "<i id=injected>", `${markup}: ${markup}`);
    assert.equal(await ann.locator("#injected").count(), 0);
  },
};

async function submit(page, form, text) {
  await page.fill(`${form} input`, text);
  await page.click(`${form} button`);
}

async function enter(page, name) {
  await page.goto(url);
  await page.getByText("connected", { exact: true }).waitFor();
  await submit(page, "#name", name);
}

async function join(page, title) {
  await submit(page, "#join", title);
}

function room(page, title) {
  return page.locator(`section[data-room="${title}"]`);
}

async function say(page, title, text) {
  await room(page, title).locator("input").fill(text);
  await room(page, title).locator("form button").click();
}

async function line(page, title, text) {
  await room(page, title).locator(".log").getByText(text, { exact: true }).waitFor();
}

async function error(page, code) {
  await page.locator("#error").getByText(`(${code})`).waitFor();
}

async function members(page, title, names) {
  const shows = ([title, names]) => {
    const items = document.querySelectorAll(`section[data-room="${title}"] .member`);
    return [...items].map((item) => item.textContent).join() === names;
  };
  await page.waitForFunction(shows, [title, names.join()]);
}

await run(checks);
