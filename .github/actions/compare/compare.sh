#!/usr/bin/env bash
# Run harness compare, keep its reports in $COMPARE_REPORTS, and exit with its code.
set -euo pipefail

rm -rf "$COMPARE_REPORTS"
mkdir -p "$COMPARE_REPORTS"
report=$COMPARE_REPORTS/report.md
log=$COMPARE_REPORTS/log.txt

finish() {
    if [ -f "$report" ] && [ -f "$COMPARE_REPORTS/report.txt" ]; then
        cat "$COMPARE_REPORTS/report.txt"
        case $1 in
        0 | 1 | 4 | 5) ;;
        *) # an error after the comparison, such as a history that cannot be written
            {
                printf '\n\nThe command failed with exit code %s:\n\n' "$1"
                tail -n 5 "$log" | sed 's/^/    /'
            } >>"$report"
            ;;
        esac
    else
        {
            printf '### harness compare failed with exit code %s\n\n' "$1"
            tail -n 20 "$log" | sed 's/^/    /' # Markdown shows indented lines as they are
        } >"$report"
    fi
    cat "$report" >>"$GITHUB_STEP_SUMMARY"
    exit "$1"
}

invalid() {
    echo "$1" >"$log"
    echo "::error::$1"
    finish 2
}

[[ $COMPARE_NAME =~ ^[A-Za-z0-9.-]+$ ]] || invalid "the input name may have letters, digits, dots and dashes only"

base=$COMPARE_BASE
if [ -z "$base" ]; then
    hint="give the input base, or check out with fetch-depth: 0"
    if [ -n "${GITHUB_BASE_REF:-}" ]; then # a pull request
        base=$(git merge-base "origin/$GITHUB_BASE_REF" HEAD) || invalid "the base branch is not in the checkout: $hint"
    else
        base=$(git rev-parse --verify --quiet "HEAD~1^{commit}") || invalid "there is no earlier commit: $hint"
    fi
    base=$(git rev-parse --short "$base")
fi

options=(--budget "$COMPARE_BUDGET" --inconclusive "$COMPARE_INCONCLUSIVE" --figure "$COMPARE_REPORTS/changes.svg")
for file in report.md report.txt findings.json junit.xml; do
    options+=(--output "$COMPARE_REPORTS/$file")
done
[ -z "$COMPARE_MODELS" ] || options+=(--models "$COMPARE_MODELS")
[ -z "$COMPARE_METRIC" ] || options+=(--metric "$COMPARE_METRIC")
read -r -d '' -a arguments <<<"$COMPARE_ARGUMENTS" || true # the end of the text ends it with 1
options+=(${arguments[@]+"${arguments[@]}"})               # bash 3.2 of macOS refuses an empty array

code=0
harness compare "${options[@]}" -- "$base" "$COMPARE_HEAD" 2>&1 | tee "$log" || code=$?
if [ "$code" = 0 ] && [ ! -f "$report" ]; then # as with --help
    echo "::error::harness compare wrote no report: check the input arguments"
    code=2
fi
finish "$code"
