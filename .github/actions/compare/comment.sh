#!/usr/bin/env bash
# Post the report as a comment on the pull request, or replace the comment of an earlier run.
# If that is not possible, the job does not fail: whether it does is for compare.sh to say.
set -euo pipefail

limit=64000 # bytes; GitHub accepts 65,536 characters, some of which the lines around the report need
export MARKER="<!-- harness compare: $COMPARE_NAME -->"
report=$COMPARE_REPORTS/report.md
run=$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID
comments=repos/$GITHUB_REPOSITORY/issues

if [ ! -f "$report" ]; then
    echo "there is no report to comment with"
    exit 0
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
errors=$folder/errors body=$folder/body

not_posted() {
    local reason
    reason=$(head -n 1 "$errors")
    if grep -q "HTTP 403" "$errors"; then
        reason+=". The token may not write comments: in a pull request from a fork it never may, and elsewhere it needs "
        reason+="the permission pull-requests: write"
    fi
    echo "::notice::The report was not posted as a comment; it is in the summary of the job. $reason"
    exit 0
}

{
    printf '%s\n' "$MARKER"
    if [ "$(wc -c <"$report")" -le "$limit" ]; then
        cat "$report"
    else
        LC_ALL=C awk -v limit="$limit" '{ size += length($0) + 1; if (size > limit) exit; print }' "$report" >"$folder/cut"
        cat "$folder/cut"
        [ "$(grep -c '<details>' "$folder/cut")" = "$(grep -c '</details>' "$folder/cut")" ] || printf '\n</details>\n'
        printf '\n**The report is too long for a comment. The rest is in the summary of the job.**\n'
    fi
    printf '\n<sub>Commit %s. [Log, JSON, JUnit XML and picture](%s)</sub>\n' "$COMMIT" "$run"
} >"$body"

AUTHOR=$(gh api graphql -f query='{viewer{login}}' --jq .data.viewer.login 2>"$errors") || not_posted
export AUTHOR
# Others may write the marker too.
found=$(gh api --paginate "$comments/$PULL_REQUEST/comments?per_page=100" \
    --jq '.[] | select(.user.login == env.AUTHOR and (.body | startswith(env.MARKER))) | .id' 2>"$errors") || not_posted
id=${found%%$'\n'*}
if [ -n "$id" ]; then
    request=(--method PATCH "$comments/comments/$id")
else
    request=(--method POST "$comments/$PULL_REQUEST/comments")
fi
gh api "${request[@]}" -F "body=@$body" --silent >"$folder/answer" 2>"$errors" || not_posted
echo "commented on pull request $PULL_REQUEST"
