"""Sends a valid and an invalid message with the interactive client of `websockets`.

Usage: quickstart.py URL

Prints the conversation as a terminal shows it. Exits with 1 if an answer does not arrive in time.
"""

import queue
import re
import subprocess
import sys
import threading

TIMEOUT = 5  # seconds for one line

MESSAGES = [
    '{"type": "chat", "id": 1, "text": "hi", "user_id": 7}',
    '{"type": "chat", "id": 2, "text": "", "user_id": 7}',
]

# The client inserts what it receives above its prompt, with these escape sequences and the prompt.
CONTROLS = re.compile(r"\x1b\[?[0-9A-Z]|\r|^(> )+")


def read_lines(stream, lines):
    for line in stream:
        lines.put(line)


def main(url):
    client = subprocess.Popen(
        [sys.executable, "-u", "-m", "websockets", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = queue.Queue()
    threading.Thread(target=read_lines, args=(client.stdout, lines), daemon=True).start()

    def show_line():
        while True:
            line = CONTROLS.sub("", CONTROLS.sub("", lines.get(timeout=TIMEOUT))).strip()
            if line:
                print(line)
                return

    try:
        show_line()  # Connected to ..
        show_line()  # the welcome message
        for message in MESSAGES:
            client.stdin.write(f"{message}\n")
            client.stdin.flush()
            print(f"> {message}")
            show_line()
        client.stdin.close()
        show_line()  # Connection closed: ..
        client.wait(TIMEOUT)
    except (queue.Empty, subprocess.TimeoutExpired):
        client.kill()
        sys.exit("no line within the timeout")


main(*sys.argv[1:])
