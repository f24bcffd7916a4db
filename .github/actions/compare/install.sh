#!/usr/bin/env bash
# Install the harness of this action, and the package of the checkout, whose dependencies both versions use.
set -euo pipefail

harness=$(cd "$GITHUB_ACTION_PATH/../../.." && pwd -P)
packages=("$harness")
if [ -f pyproject.toml ] && [ "$(pwd -P)" != "$harness" ]; then
    packages+=(.)
fi
python -m pip install --disable-pip-version-check "${packages[@]}"
