#!/usr/bin/env bash
# Records what the README shows, and writes it to docs/. With --check, it records the texts again and
# compares them with docs/.
# Usage: bash examples/recordings/run.sh [--check]
set -euo pipefail

readonly MODE=${1:-}
readonly ADDRESS=127.0.0.1 PORT=8000 PAGE_PORT=8029
# Seconds.
readonly START_TIMEOUT=20 CLIENT_TIMEOUT=30 STOP_TIMEOUT=10 COMPILER_TIMEOUT=600

# Cargo shows no warnings of a dependency from a registry, so those of the library are left out, too.
readonly PRINT_ERRORS='
import json, sys
messages = [json.loads(line) for line in sys.stdin]
texts = [
    message["message"]["rendered"]
    for message in messages
    if message["reason"] == "compiler-message" and message["target"]["name"] == "chat"
]
print("".join(texts).strip())'

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cd "$root"

fail() {
    printf 'recordings: %s\n' "$*" >&2
    exit 1
}

accepts() {
    (exec 3<>"/dev/tcp/$ADDRESS/$PORT") 2>/dev/null
}

server=
stop_server() {
    if [[ -n $server ]] && kill -0 "$server" 2>/dev/null; then kill -KILL "$server" || true; fi
}
trap stop_server EXIT

# Ends with the output of the server in $work/server.out and that of the client in $work/client.out.
talk() {
    if accepts; then fail "port $PORT is taken; the quick start needs it"; fi
    cargo build --quiet --example quickstart
    python3 -m venv "$work/venv" || fail "the client could not be installed"
    "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --requirement "$root/examples/interop/requirements.txt" || fail "the client could not be installed"

    "$target/debug/examples/quickstart" >"$work/server.out" &
    server=$!
    local tries
    for ((tries = START_TIMEOUT * 10; tries > 0; tries--)); do
        kill -0 "$server" 2>/dev/null || fail "the server did not start"
        if accepts; then break; fi
        sleep 0.1
    done
    ((tries > 0)) || fail "the server does not accept on port $PORT"

    timeout --kill-after=5 "$CLIENT_TIMEOUT" \
        "$work/venv/bin/python" "$here/quickstart.py" "ws://$ADDRESS:$PORT" >"$work/client.out" ||
        fail "the client failed"

    kill -TERM "$server"
    for ((tries = STOP_TIMEOUT * 10; tries > 0; tries--)); do
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    ((tries > 0)) || fail "the server is still running $STOP_TIMEOUT s after SIGTERM"
    wait "$server" || fail "the server exited with $? after SIGTERM"
}

quickstart() {
    talk
    printf '$ cargo run --example quickstart &\n\n'
    printf '$ python -m websockets ws://%s:%s\n' "$ADDRESS" "$PORT"
    cat "$work/client.out"
    printf '\n'
    cat "$work/server.out"
}

# The package lies outside of the workspace, with the workspace's versions of all dependencies.
compile_error() {
    local package=$work/chat output
    mkdir -p "$package/src"
    cp "$here/malformed.rs" "$package/src/main.rs"
    cp Cargo.lock "$package/Cargo.lock"
    cat >"$package/Cargo.toml" <<EOF
[package]
name = "chat"
version = "0.1.0"
edition = "2024"

[dependencies]
aiows = { path = "$root/aiows" }
serde = { version = "1", features = ["derive"] }

[workspace]
EOF
    if (cd "$package" && CARGO_TARGET_DIR=$target timeout "$COMPILER_TIMEOUT" \
        cargo build --quiet --message-format json) >"$work/messages.json" 2>"$work/cargo.err"; then
        fail "the malformed handlers compile"
    fi
    grep -q '^error: could not compile `chat`' "$work/cargo.err" ||
        fail "the compiler did not reach the malformed handlers: $(<"$work/cargo.err")"
    output=$(python3 -c "$PRINT_ERRORS" <"$work/messages.json")
    printf '$ cargo build\n%s\n\n' "${output//"$root/"/}"
    grep '^error: could not compile `chat`' "$work/cargo.err"
}

# Connection ids differ from run to run, and lines of the library from commit to commit.
normalize() {
    sed -E -e 's/^[0-9a-f]{16} left/ID left/' -e 's/(--> aiows[^ ]*\.rs):[0-9]+:[0-9]+/\1/' \
        -e '/--> aiows/,/^$/ s/^ *[0-9]* *\|/ |/' -e 's/^ *(-->|=|\|)/ \1/'
}

target=$(cargo metadata --format-version 1 --no-deps |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
work=$target/recordings
mkdir -p "$work" docs

quickstart >"$work/quickstart.txt"
compile_error >"$work/compile_error.txt"
case $MODE in
--check)
    for text in quickstart compile_error; do
        diff --unified <(normalize <"docs/$text.txt") <(normalize <"$work/$text.txt") ||
            fail "docs/$text.txt is stale: run examples/recordings/run.sh"
    done
    ;;
'')
    cp "$work/quickstart.txt" "$work/compile_error.txt" docs/
    bash examples/browser/run.sh chat_rooms "$PAGE_PORT" recordings/chat_rooms.mjs docs
    ;;
*)
    fail "unknown argument $MODE"
    ;;
esac
printf 'recordings: done\n'
