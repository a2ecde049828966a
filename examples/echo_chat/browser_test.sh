#!/usr/bin/env bash
# Serves the example and uses its page with headless Chromium.
# Usage: bash examples/echo_chat/browser_test.sh
set -euo pipefail
exec bash "$(dirname "${BASH_SOURCE[0]}")/../browser/run.sh" echo_chat 8017
