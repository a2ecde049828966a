// Tests the quick start with the `ws` package.
//
// Usage: quickstart.mjs URL READY_FILE
//
// The program creates READY_FILE when it has run every check except that of the shutdown.

import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

import WebSocket from 'ws';

const TIMEOUT = 5_000; // milliseconds, for one answer
const SHUTDOWN_TIMEOUT = 30_000; // milliseconds, until the server stops

const TOO_LONG = 'z'.repeat(501);
const WELCOME = { type: 'welcome', message: 'Connected!' };
const REPLY = { type: 'chat_response', echo: { text: 'hi', user_id: 42 } };

// The request and the bytes of its id.
const ANSWERED = [
  ['chat without an id', '{"type":"chat","text":"hi","user_id":42}'],
  ['chat with an integer id', '{"type":"chat","id":7,"text":"hi","user_id":42}', '7'],
  [
    'an integer id beyond doubles comes back byte for byte',
    '{"type":"chat","id":9007199254740993,"text":"hi","user_id":42}',
    '9007199254740993',
  ],
  ['chat with a string id', '{"id":"a-1","type":"chat","text":"hi","user_id":42}', '"a-1"'],
  [
    'an escaped string id comes back byte for byte',
    String.raw`{"type":"chat","id":"\u00e9 \"q\" \/","text":"hi","user_id":42}`,
    String.raw`"\u00e9 \"q\" \/"`,
  ],
];

// `field` has the path and the code of the only field. The answer must not contain `secret`.
const REFUSED = [
  {
    name: 'an empty text',
    request: '{"type":"chat","id":8,"text":"","user_id":42}',
    code: 'validation_failed',
    field: ['text', 'length'],
    secret: '"value"',
    id: '8',
  },
  {
    name: 'a text that is too long',
    request: `{"type":"chat","id":9,"text":"${TOO_LONG}","user_id":42}`,
    code: 'validation_failed',
    field: ['text', 'length'],
    secret: 'zzz',
    id: '9',
  },
  {
    name: 'a wrong type',
    request: '{"type":"chat","id":"w","text":"hi","user_id":"secret-77"}',
    code: 'invalid_payload',
    field: ['user_id', 'wrong_type'],
    secret: 'secret-77',
    id: '"w"',
  },
  {
    name: 'a missing field',
    request: '{"type":"chat","id":10,"text":"hi"}',
    code: 'invalid_payload',
    field: ['user_id', 'missing'],
    id: '10',
  },
  {
    name: 'an unknown type',
    request: '{"type":"nope","id":11}',
    code: 'unknown_type',
    id: '11',
  },
  {
    name: 'bad JSON',
    request: '{"type":"chat","secret-78',
    code: 'invalid_json',
    secret: 'secret-78',
  },
];

const checks = {
  passed: 0,
  failed: 0,

  check(name, right, seen) {
    if (right) {
      this.passed += 1;
      console.log(`ok    ${name}`);
    } else {
      this.failed += 1;
      console.log(`FAIL  ${name}: ${seen}`);
    }
  },

  answered(name, answer, id) {
    const { correlation_id: _, ...reply } = JSON.parse(answer);
    this.check(name, isDeepStrictEqual(reply, REPLY) && hasId(answer, id), answer);
  },

  refused({ name, code, field, secret, id }, answer) {
    const error = JSON.parse(answer);
    const fields = (error.fields ?? []).map(({ path, code }) => [path, code]);
    const right =
      error.type === 'error' &&
      error.code === code &&
      typeof error.message === 'string' &&
      isDeepStrictEqual(fields, field ? [field] : []) &&
      !(secret && answer.includes(secret)) &&
      hasId(answer, id);
    this.check(`${name} is refused: ${code}`, right, answer);
  },
};

function hasId(answer, id) {
  return id ? answer.includes(`"correlation_id":${id}`) : !answer.includes('correlation_id');
}

async function within(promise, what, timeout = TIMEOUT) {
  let timer;
  const expired = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no ${what} within ${timeout} ms`)), timeout);
  });
  return Promise.race([promise, expired]).finally(() => clearTimeout(timer));
}

async function receive(ws) {
  const [data, isBinary] = await within(once(ws, 'message'), 'answer');
  if (isBinary) throw new Error('the answer is binary');
  return data.toString();
}

// Resolves with the socket and the server's first message.
async function connect(url) {
  const ws = new WebSocket(url);
  return [ws, await receive(ws)];
}

function request(ws, ...parts) {
  parts.forEach((part, index) => ws.send(part, { fin: index === parts.length - 1 }));
  return receive(ws);
}

async function converse(url) {
  const [ws, welcome] = await connect(url);
  checks.check('welcome', isDeepStrictEqual(JSON.parse(welcome), WELCOME), welcome);

  for (const [name, text, id] of ANSWERED) checks.answered(name, await request(ws, text), id);
  for (const refusal of REFUSED) checks.refused(refusal, await request(ws, refusal.request));

  const [, chat] = ANSWERED[0];
  checks.answered('a good chat after all that', await request(ws, chat));
  checks.answered('a chat in a binary frame', await request(ws, Buffer.from(chat)));
  const fragments = [chat.slice(0, 5), chat.slice(5, 9), chat.slice(9)];
  checks.answered('a chat in three fragments', await request(ws, ...fragments));
  ws.ping('p');
  const [pong] = await within(once(ws, 'pong'), 'pong');
  checks.check('a ping is answered', pong.toString() === 'p', pong);

  ws.close(1000, 'done');
  const [code] = await within(once(ws, 'close'), 'close');
  checks.check('closing is answered with 1000', code === 1000, code);
}

async function seeShutdown(url, readyFile) {
  const [ws] = await connect(url);
  const closed = once(ws, 'close');
  writeFileSync(readyFile, '');
  const [code, reason] = await within(closed, 'close', SHUTDOWN_TIMEOUT);
  const right = code === 1001 && reason.toString() === 'Server shutdown';
  checks.check('shutdown closes with 1001', right, `${code} ${reason}`);
}

const [url, readyFile] = process.argv.slice(2);
try {
  await converse(url);
  await seeShutdown(url, readyFile);
} catch (error) {
  checks.check('the conversation is complete', false, error);
}
console.log(`${checks.passed} passed, ${checks.failed} failed`);
process.exit(checks.failed ? 1 : 0);
