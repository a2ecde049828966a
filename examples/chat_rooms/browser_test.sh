#!/usr/bin/env bash
# Serves the example and uses its page with headless Chromium.
# Usage: bash examples/chat_rooms/browser_test.sh
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../browser/run.sh" chat_rooms 8018
