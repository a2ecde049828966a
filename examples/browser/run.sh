#!/usr/bin/env bash
# Serves an example and drives its page with headless Chromium. The default script is the example's
# browser_test.mjs; another one is a path relative to the folder of the examples.
# Usage: bash examples/browser/run.sh EXAMPLE PORT [SCRIPT [ARGUMENT..]]
set -euo pipefail

readonly EXAMPLE=$1 ADDRESS=127.0.0.1:$2
readonly SCRIPT=${3:-$EXAMPLE/browser_test.mjs}
# Seconds.
readonly START_TIMEOUT=20 BROWSER_TIMEOUT=120 STOP_TIMEOUT=10

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

fail() {
    printf 'browser: %s\n' "$*" >&2
    exit 1
}

accepts() {
    (exec 3<>"/dev/tcp/${ADDRESS%:*}/${ADDRESS#*:}") 2>/dev/null
}

server=
stop_server() {
    if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then kill -KILL "$server" || true; fi
}
trap stop_server EXIT

for tool in cargo python3 node npm chromium; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
if accepts; then fail "port ${ADDRESS#*:} is taken"; fi

cargo build --example "$EXAMPLE"
target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
npm ci --prefix "$here" --loglevel error --no-audit --no-fund || fail "the driver could not be installed"

program=$target/debug/examples/$EXAMPLE
"$program" "$ADDRESS" &
server=$!
for ((tries = START_TIMEOUT * 10; tries > 0; tries--)); do
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    if accepts; then break; fi
    sleep 0.1
done
((tries > 0)) || fail "the server does not accept on $ADDRESS"

timeout --kill-after=5 "$BROWSER_TIMEOUT" \
    node "$here/../$SCRIPT" "http://$ADDRESS/" "$(command -v chromium)" "$program" "${@:4}" ||
    fail "$SCRIPT failed"

kill -TERM "$server"
for ((tries = STOP_TIMEOUT * 10; tries > 0; tries--)); do
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
((tries > 0)) || fail "the server is still running $STOP_TIMEOUT s after SIGTERM"
wait "$server" || fail "the server exited with $? after SIGTERM"
printf 'browser: %s passed\n' "$SCRIPT"
