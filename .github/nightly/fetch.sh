#!/usr/bin/env bash
# Copy the history of earlier nights from its branch to $NIGHTLY. Before the first night there is none.
set -euo pipefail

mkdir -p "$NIGHTLY"
if git rev-parse --verify --quiet origin/history >/dev/null; then
    git show origin/history:nightly.jsonl >"$NIGHTLY/nightly.jsonl"
fi
