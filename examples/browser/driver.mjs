// Runs checks of a page in Chromium: `run({ async "a sentence"(page) { .. } })`.
// The arguments of the program are URL CHROMIUM PROGRAM. PROGRAM is the server of the page.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

const TIMEOUT = 10_000; // milliseconds
const [address, executablePath, program] = process.argv.slice(2);

export const url = address;

export function launch() {
  return chromium.launch({ executablePath, args: ["--disable-dev-shm-usage"] });
}

// Starts another server, on a port of its own. The caller stops it.
export async function serve(port) {
  const server = spawn(program, [`127.0.0.1:${port}`], { stdio: "inherit" });
  const ended = once(server, "exit");
  // A check that fails does not stop its server.
  process.on("exit", () => server.kill("SIGKILL"));
  for (let tries = TIMEOUT / 100; !(await accepts(port)); tries -= 1) {
    assert.ok(tries > 0 && server.exitCode === null, `the server does not accept on port ${port}`);
    await sleep(100);
  }
  const stop = async () => {
    server.kill("SIGTERM");
    await ended;
  };
  return { url: `http://127.0.0.1:${port}/`, stop };
}

function accepts(port) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => resolve(false));
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
  });
}

// Every check has its own tabs; `open` opens further ones.
export async function run(checks) {
  const browser = await launch();
  let passed = 0;
  let failed = 0;
  for (const [name, check] of Object.entries(checks)) {
    const context = await browser.newContext();
    const mistakes = [];
    const open = async () => {
      const page = await context.newPage();
      page.setDefaultTimeout(TIMEOUT);
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
