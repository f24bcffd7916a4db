#!/usr/bin/env bash
# Show the history with this night in the summary of the job, and draw it.
set -euo pipefail

history=$NIGHTLY/nightly.jsonl
if [ ! -s "$history" ] || git show origin/history:nightly.jsonl 2>/dev/null | cmp -s - "$history"; then
    echo "::error::this night was not added to the history; the step before says why"
    exit 1
fi
harness history show "$history" --format markdown --figure "$NIGHTLY/nightly.svg" >"$NIGHTLY/nightly.md"
cat "$NIGHTLY/nightly.md" >>"$GITHUB_STEP_SUMMARY"
