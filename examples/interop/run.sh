#!/usr/bin/env bash
# Builds the quick start and drives it with two independent WebSocket clients.
# Usage: bash examples/interop/run.sh
set -euo pipefail

readonly ADDRESS=127.0.0.1 PORT=8000
# Seconds.
readonly START_TIMEOUT=20 CLIENT_TIMEOUT=60 STOP_TIMEOUT=10

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."

fail() {
    printf 'interop: %s\n' "$*" >&2
    exit 1
}

accepts() {
    (exec 3<>"/dev/tcp/$ADDRESS/$PORT") 2>/dev/null
}

runs() {
    kill -0 "$1" 2>/dev/null
}

# Repeats a command ten times a second until it succeeds. Usage: within SECONDS COMMAND..
within() {
    local tries=$(($1 * 10))
    shift
    for ((; tries > 0; tries--)); do
        if "$@"; then return 0; fi
        sleep 0.1
    done
    return 1
}

server_is_up() {
    runs "$server" || fail "the server did not start, see $work/server.log"
    accepts
}

clients_are_ready() {
    local client
    for client in "${!clients[@]}"; do
        if [[ ! -e $work/$client.ready ]]; then
            # A client that ended before it was ready has reported the reason.
            runs "${clients[$client]}" && return 1
        fi
    done
}

server_has_ended() {
    ! runs "$server"
}

server=
declare -A clients=()

stop_everything() {
    local pid
    for pid in $server "${clients[@]}"; do
        if runs "$pid"; then kill -KILL "$pid" || true; fi
    done
}
trap stop_everything EXIT

for tool in cargo python3 node npm; do
    command -v "$tool" >/dev/null || fail "$tool is not installed"
done
if accepts; then fail "port $PORT is taken; the quick start needs it"; fi

cargo build --example quickstart
target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
work=$target/interop
mkdir -p "$work"
rm -f "$work"/*.ready "$work"/*.log

python3 -m venv "$work/venv" || fail "the Python client could not be installed"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "$here/requirements.txt" || fail "the Python client could not be installed"
npm ci --prefix "$here" --loglevel error --no-audit --no-fund || fail "the Node client could not be installed"

"$target/debug/examples/quickstart" >"$work/server.log" 2>&1 &
server=$!
within "$START_TIMEOUT" server_is_up || fail "the server does not accept on port $PORT"

url=ws://$ADDRESS:$PORT/
"$work/venv/bin/python" "$here/quickstart.py" "$url" "$work/websockets.ready" \
    >"$work/websockets.log" 2>&1 &
clients[websockets]=$!
node "$here/quickstart.mjs" "$url" "$work/ws.ready" >"$work/ws.log" 2>&1 &
clients[ws]=$!

within "$CLIENT_TIMEOUT" clients_are_ready || fail "the clients take too long, see $work"
kill -TERM "$server"

failures=0
if within "$STOP_TIMEOUT" server_has_ended; then
    status=0
    wait "$server" || status=$?
    if [[ $status != 0 ]]; then
        printf 'interop: the server exited with %s after SIGTERM\n' "$status" >&2
        failures=1
    fi
else
    printf 'interop: the server is still running %s s after SIGTERM\n' "$STOP_TIMEOUT" >&2
    failures=1
fi

for client in "${!clients[@]}"; do
    status=0
    wait "${clients[$client]}" || status=$?
    printf '\n%s\n' "$client"
    cat "$work/$client.log"
    if [[ $status != 0 ]] || ! tail -n 1 "$work/$client.log" | grep -qE '^[1-9][0-9]* passed, 0 failed$'; then
        printf 'interop: %s failed\n' "$client" >&2
        failures=1
    fi
done

[[ $failures == 0 ]] || fail "the output of the server is in $work/server.log"
printf '\ninterop: the server exited with 0 after SIGTERM, both clients passed\n'
