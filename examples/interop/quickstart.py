"""Tests the quick start with the `websockets` package.

Usage: quickstart.py URL READY_FILE

The program creates READY_FILE when it has run every check except that of the shutdown.
"""

import asyncio
import json
import pathlib
import sys

import websockets

TIMEOUT = 5  # seconds, for one answer
SHUTDOWN_TIMEOUT = 30  # seconds, until the server stops

TOO_LONG = "z" * 501
ECHO = {"text": "hi", "user_id": 42}
WELCOME = {"type": "welcome", "message": "Connected!"}
REPLY = {"type": "chat_response", "echo": ECHO}

# The name of the check, the request, and the bytes of its id.
ANSWERED = [
    ("chat without an id", '{"type":"chat","text":"hi","user_id":42}', None),
    ("chat with an integer id", '{"type":"chat","id":7,"text":"hi","user_id":42}', "7"),
    (
        "an integer id beyond doubles comes back byte for byte",
        '{"type":"chat","id":9007199254740993,"text":"hi","user_id":42}',
        "9007199254740993",
    ),
    ("chat with a string id", '{"id":"a-1","type":"chat","text":"hi","user_id":42}', '"a-1"'),
    (
        "an escaped string id comes back byte for byte",
        r'{"type":"chat","id":"\u00e9 \"q\" \/","text":"hi","user_id":42}',
        r'"\u00e9 \"q\" \/"',
    ),
]

# The name of the check, the request, the code, the path and the code of the only field, a text that
# the answer must not contain, and the bytes of the id.
REFUSED = [
    (
        "an empty text",
        '{"type":"chat","id":8,"text":"","user_id":42}',
        "validation_failed", ("text", "length"), '"value"', "8",
    ),
    (
        "a text that is too long",
        f'{{"type":"chat","id":9,"text":"{TOO_LONG}","user_id":42}}',
        "validation_failed", ("text", "length"), "zzz", "9",
    ),
    (
        "a wrong type",
        '{"type":"chat","id":"w","text":"hi","user_id":"secret-77"}',
        "invalid_payload", ("user_id", "wrong_type"), "secret-77", '"w"',
    ),
    (
        "a missing field",
        '{"type":"chat","id":10,"text":"hi"}',
        "invalid_payload", ("user_id", "missing"), None, "10",
    ),
    (
        "an unknown type",
        '{"type":"nope","id":11}',
        "unknown_type", None, None, "11",
    ),
    ("bad JSON", '{"type":"chat","secret-78', "invalid_json", None, "secret-78", None),
]


class Checks:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def check(self, name, right, seen):
        if right:
            self.passed += 1
            print(f"ok    {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL  {name}: {seen}", flush=True)

    def answered(self, name, answer, id_bytes):
        right = without_id(answer) == REPLY and has_id(answer, id_bytes)
        self.check(name, right, answer)

    def refused(self, name, answer, code, field, secret, id_bytes):
        error = json.loads(answer)
        fields = [(f["path"], f["code"]) for f in error.get("fields", [])]
        right = (
            error["type"] == "error"
            and error["code"] == code
            and isinstance(error["message"], str)
            and fields == ([field] if field else [])
            and (secret is None or secret not in answer)
            and has_id(answer, id_bytes)
        )
        self.check(f"{name} is refused: {code}", right, answer)


def without_id(answer):
    return {key: value for key, value in json.loads(answer).items() if key != "correlation_id"}


def has_id(answer, id_bytes):
    if id_bytes is None:
        return "correlation_id" not in answer
    return f'"correlation_id":{id_bytes}' in answer


async def receive(ws):
    return await asyncio.wait_for(ws.recv(), TIMEOUT)


async def request(ws, text):
    await ws.send(text)
    return await receive(ws)


async def converse(checks, url):
    ws = await websockets.connect(url)
    welcome = await receive(ws)
    checks.check("welcome", json.loads(welcome) == WELCOME, welcome)

    for name, text, id_bytes in ANSWERED:
        checks.answered(name, await request(ws, text), id_bytes)
    for name, text, *expected in REFUSED:
        checks.refused(name, await request(ws, text), *expected)

    chat = ANSWERED[0][1]
    checks.answered("a good chat after all that", await request(ws, chat), None)
    checks.answered("a chat in a binary frame", await request(ws, chat.encode()), None)
    checks.answered("a chat in three fragments", await request(ws, [chat[:5], chat[5:9], chat[9:]]), None)
    pong = await ws.ping()
    await asyncio.wait_for(pong, TIMEOUT)
    checks.check("a ping is answered", True, None)

    await asyncio.wait_for(ws.close(1000, "done"), TIMEOUT)
    answer = ws.protocol.close_rcvd
    checks.check("closing is answered with 1000", answer and answer.code == 1000, answer)


async def see_shutdown(checks, url, ready_file):
    ws = await websockets.connect(url)
    await receive(ws)
    ready_file.touch()
    try:
        unexpected = await asyncio.wait_for(ws.recv(), SHUTDOWN_TIMEOUT)
        checks.check("shutdown closes with 1001", False, unexpected)
    except websockets.ConnectionClosed:
        close = ws.protocol.close_rcvd
        right = close and (close.code, close.reason) == (1001, "Server shutdown")
        checks.check("shutdown closes with 1001", right, close)


async def main(url, ready_file):
    checks = Checks()
    try:
        await converse(checks, url)
        await see_shutdown(checks, url, pathlib.Path(ready_file))
    except Exception as error:
        checks.check("the conversation is complete", False, repr(error))
    print(f"{checks.passed} passed, {checks.failed} failed")
    return checks.failed


sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
