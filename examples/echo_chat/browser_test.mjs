// Opens the page in Chromium, and checks what its user would.
// Usage: node browser_test.mjs URL CHROMIUM
import assert from "node:assert/strict";
import { run, url } from "../browser/driver.mjs";

const checks = {
  async "the page greets and echoes"(page) {
    await page.goto(url);
    await line(page, "echo", "say something");
    await say(page, "hello from a browser");
    await line(page, "echo", "hello from a browser");
    assert.equal(await page.textContent("#state"), "connected");
  },

  async "a text is shown as text"(page) {
    await page.goto(url);
    await say(page, "<b id=injected>bold</b> \u{1F980}");
    await line(page, "echo", "<b id=injected>bold</b> \u{1F980}");
    assert.equal(await page.locator("#injected").count(), 0);
  },

  async "an invalid text is answered with an error, and the next one is echoed"(page) {
    await page.goto(url);
    await line(page, "echo", "say something");
    await say(page, "");
    await page.locator("#log .error").waitFor();
    await say(page, "better");
    await line(page, "echo", "better");
  },

  async "a page of another origin cannot open the socket"(page) {
    const address = new URL("/ws", url).href.replace("http", "ws");
    await page.goto(url);
    assert.equal(await page.evaluate(opens, address), true);
    // The same machine under another name is another origin.
    await page.goto(url.replace("127.0.0.1", "localhost"));
    const errors = [];
    page.on("websocket", (socket) => socket.on("socketerror", (error) => errors.push(error)));
    assert.equal(await page.evaluate(opens, address), false);
    assert.match(errors.join(), /403/);
  },

  async "leaving the page harms nobody"(page) {
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
