"""How large a slowdown the benchmarks find: each is run with planted ones, in steps of 0.1, until it turns red.

    python -m tests.simulations.planted_slowdowns                     the hot paths
    python -m tests.simulations.planted_slowdowns -k "cell or boards"

It prints a table in Markdown: the ratio of each benchmark, what it accepts, and the smallest planted slowdown that is
found. A slowdown is planted by busy waiting on our side (``--planted``).
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

root = Path(__file__).parents[2]
module = root / "tests" / "benchmarks" / "test_hot_paths.py"
_most_steps = 20


def run(chosen: str, factor: float, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run benchmarks with a planted slowdown; return the exit code of pytest, and each benchmark's ratio."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pytest", chosen, *options, "--benchmark-only", f"--benchmark-json={report}"]
        done = subprocess.run([*command, f"--planted={factor}"], cwd=root, stdout=subprocess.DEVNULL, check=False)
        found = json.loads(report.read_text())["benchmarks"] if report.is_file() else []
    return done.returncode, [{"id": f"{root}/{each['fullname']}", **each["extra_info"]} for each in found]


def smallest_found(benchmark: dict[str, Any]) -> float | None:
    """Return the smallest slowdown, in steps of 0.1, at which a benchmark turns red; None if none up to 3 does."""

    def is_red(tenths: int) -> bool:
        return run(benchmark["id"], tenths / 10)[0] == 1

    tenths = max(11, math.ceil(10 * benchmark["at_most"] / benchmark["ratio"]))
    if is_red(tenths):
        while tenths > 11 and is_red(tenths - 1):
            tenths -= 1
        return tenths / 10
    return next((each / 10 for each in range(tenths + 1, tenths + _most_steps) if is_red(each)), None)


def main() -> None:
    _, benchmarks = run(str(module), 1, *sys.argv[1:])
    print("| benchmark | ratio | at most | smallest planted slowdown that is found |\n|---|---|---|---|")
    for each in benchmarks:
        print(
            f"| {each['compared']} | {each['ratio']:.2f} | {each['at_most']:g} | {smallest_found(each)} |", flush=True
        )


if __name__ == "__main__":
    main()
