// Takes pictures of the page of chat_rooms, light and dark, with three users and their messages.
// Usage: node chat_rooms.mjs URL CHROMIUM PROGRAM FOLDER
import { join as path } from "node:path";
import { launch, url } from "../browser/driver.mjs";

const folder = process.argv[5];
const VIEW = { viewport: { width: 1120, height: 580 }, locale: "en-GB", timezoneId: "UTC" };
const TIMEOUT = 10_000; // milliseconds

// Room, sender, time and text.
const MESSAGES = [
  ["release", "Jonas", "09:58", "The release candidate is tagged. Can you run the soak test overnight?"],
  ["release", "Priya", "10:02", "Yes. Six hours, with slow clients and restarts."],
  ["release", "Priya", "10:02", "I'll post the numbers here tomorrow morning."],
  ["release", "Maya", "10:04", "Thanks! The changelog is ready for review."],
  ["tea", "Priya", "10:05", "The kettle is on."],
  ["tea", "Jonas", "10:05", "Coming!"],
  ["release", "Jonas", "10:07", "Reviewed. Then we ship on Tuesday."],
];

const browser = await launch();
for (const colorScheme of ["light", "dark"]) {
  const users = {};
  for (const name of ["Maya", "Jonas", "Priya"]) users[name] = await enter(name, colorScheme);
  const { Maya: maya } = users;
  for (const title of ["release", "tea"]) {
    // Maya joins last, so her pages start without notices.
    for (const name of ["Jonas", "Priya", "Maya"]) await join(users[name], title);
  }
  await join(maya, "support");
  await select(maya, "release");
  for (const [title, name, time, text] of MESSAGES) {
    await maya.clock.setFixedTime(new Date(`2026-03-02T${time}:00Z`));
    await say(users[name], title, text);
    await room(maya, title).locator(".text").getByText(text, { exact: true }).waitFor({ state: "attached" });
  }
  await maya.locator("#state").hover();
  await maya.evaluate(() => document.activeElement.blur());
  const file = colorScheme === "light" ? "chat_rooms.png" : "chat_rooms_dark.png";
  await maya.screenshot({ path: path(folder, file), animations: "disabled", caret: "hide" });
  for (const page of Object.values(users)) await page.context().close();
}
await browser.close();

async function enter(name, colorScheme) {
  const context = await browser.newContext({ ...VIEW, colorScheme, deviceScaleFactor: 1.6 });
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT);
  await page.goto(url);
  await page.getByText("connected", { exact: true }).waitFor();
  await page.fill("#name input", name);
  await page.click("#name button");
  return page;
}

async function join(page, title) {
  await page.fill("#join input", title);
  await page.click("#join button");
  await room(page, title).waitFor();
}

async function select(page, title) {
  await page.locator("#rooms button").filter({ hasText: title }).click();
  await room(page, title).waitFor();
}

async function say(page, title, text) {
  await select(page, title);
  await room(page, title).locator("input").fill(text);
  await room(page, title).locator("form button").click();
}

function room(page, title) {
  return page.locator(`section[data-room="${title}"]`);
}
