// Opens the page in Chromium and uses it as its user would.
// Usage: node browser_test.mjs URL CHROMIUM PROGRAM
import assert from "node:assert/strict";
import { run, serve, url } from "../browser/driver.mjs";

const checks = {
  async "the page greets and echoes"(page) {
    await page.goto(url);
    await line(page, "echo", "say something");
    await say(page, "hello from a browser");
    await line(page, "echo", "hello from a browser");
    await line(page, "mine", "hello from a browser");
    assert.equal(await page.textContent("#state"), "connected");
  },

  async "a message is shown as text, not as markup"(page) {
    await page.goto(url);
    await say(page, "<b id=injected>bold</b> \u{1F980}");
    await line(page, "echo", "<b id=injected>bold</b> \u{1F980}");
    assert.equal(await page.locator("#injected").count(), 0);
  },

  async "an invalid message is answered with an error at its field, and the next one is echoed"(page) {
    await page.goto(url);
    await line(page, "echo", "say something");
    await say(page, "");
    await page.locator("#error").getByText("1 to 500 characters").waitFor();
    assert.equal(await page.getAttribute("#text", "aria-invalid"), "true");
    await say(page, "better");
    await line(page, "echo", "better");
    assert.equal(await page.textContent("#error"), "");
    assert.equal(await page.getAttribute("#text", "aria-invalid"), null);
  },

  async "the page reconnects after a restart of the server"(page) {
    const first = await serve(8027);
    await page.goto(first.url);
    await line(page, "echo", "say something");
    await first.stop();
    await page.locator("#state").getByText("reconnecting", { exact: true }).waitFor();
    assert.equal(await page.isDisabled("button"), true);
    const second = await serve(8027);
    await say(page, "back again");
    await line(page, "echo", "back again");
    await second.stop();
  },

  async "a page of another origin cannot connect"(page) {
    const address = new URL("/ws", url).href.replace("http", "ws");
    await page.goto(url);
    assert.equal(await page.evaluate(opens, address), true);
    // Another name of the same host is another origin.
    await page.goto(url.replace("127.0.0.1", "localhost"));
    const errors = [];
    page.on("websocket", (socket) => socket.on("socketerror", (error) => errors.push(error)));
    assert.equal(await page.evaluate(opens, address), false);
    assert.match(errors.join(), /403/);
  },

  async "a user who leaves the page can come back"(page) {
    await page.goto(url);
    await line(page, "echo", "say something");
    await page.goto("about:blank");
    await page.goto(url);
    await line(page, "echo", "say something");
  },
};

async function say(page, text) {
  await page.waitForFunction(() => document.getElementById("state").textContent === "connected");
  await page.fill("#text", text);
  await page.click("button");
}

async function line(page, kind, text) {
  await page.locator(`#log .${kind}`).getByText(text, { exact: true }).waitFor();
}

// Runs in the browser.
function opens(address) {
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.onopen = () => { resolve(true); socket.close(); };
    socket.onclose = () => resolve(false);
  });
}

await run(checks);
