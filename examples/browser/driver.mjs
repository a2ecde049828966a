// Runs checks of a page in Chromium: `run({ async "what holds"(page) { .. } })`.
// The arguments of the program are URL CHROMIUM.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const PATIENCE = 10_000;
const [address, executablePath] = process.argv.slice(2);

export const url = address;

// Every check has tabs of its own; `open` opens further ones.
export async function run(checks) {
  const browser = await chromium.launch({ executablePath, args: ["--disable-dev-shm-usage"] });
  let passed = 0;
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const context = await browser.newContext();
    const mistakes = [];
    const open = async () => {
      const page = await context.newPage();
      page.setDefaultTimeout(PATIENCE);
      page.on("pageerror", (error) => mistakes.push(error.message));
      return page;
    };
    try {
      await check(await open(), open);
      assert.deepEqual(mistakes, []);
      passed += 1;
      console.log(`ok ${name}`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}: ${error.message}`);
    }
    await context.close();
  }
  console.log(`${browser.version()}: ${passed} passed, ${failed} failed`);
  await browser.close();
  process.exit(failed === 0 && passed === Object.keys(checks).length ? 0 : 1);
}
