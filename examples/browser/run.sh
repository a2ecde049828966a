#!/usr/bin/env bash
# Serves an example and drives its page with headless Chromium, by its browser_test.mjs.
# Usage: bash examples/browser/run.sh EXAMPLE PORT
set -euo pipefail

readonly EXAMPLE=$1 ADDRESS=127.0.0.1:$2
# Seconds.
readonly START_PATIENCE=20 BROWSER_PATIENCE=120 STOP_PATIENCE=10

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

fail() {
    printf 'browser test: %s\n' "$*" >&2
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

"$target/debug/examples/$EXAMPLE" "$ADDRESS" &
server=$!
for ((tries = START_PATIENCE * 10; tries > 0; tries--)); do
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    if accepts; then break; fi
    sleep 0.1
done
((tries > 0)) || fail "the server does not accept on $ADDRESS"

timeout --kill-after=5 "$BROWSER_PATIENCE" \
    node "$here/../$EXAMPLE/browser_test.mjs" "http://$ADDRESS/" "$(command -v chromium)" ||
    fail "the browser found a fault, or could not run"

kill -TERM "$server"
for ((tries = STOP_PATIENCE * 10; tries > 0; tries--)); do
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
done
((tries > 0)) || fail "the server still runs $STOP_PATIENCE s after SIGTERM"
wait "$server" || fail "the server exited with $? after SIGTERM"
printf 'browser test: passed\n'
