#!/usr/bin/env bash
# Commit the history in $NIGHTLY to its branch, which has this one file and starts without a parent.
set -euo pipefail

file=$(git hash-object -w "$NIGHTLY/nightly.jsonl")
tree=$(printf '100644 blob %s\tnightly.jsonl\n' "$file" | git mktree)
parent=()
if git rev-parse --verify --quiet origin/history >/dev/null; then
    parent=(-p origin/history)
fi
author=(-c user.name=github-actions -c user.email=github-actions@users.noreply.github.com)
commit=$(git "${author[@]}" commit-tree "$tree" ${parent[@]+"${parent[@]}"} -m "Add the night of $(date -u +%F)")
git push --quiet origin "$commit:refs/heads/history"
