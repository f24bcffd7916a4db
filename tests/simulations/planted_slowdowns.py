"""How large a slowdown the benchmarks find: each is slowed down more and more until it turns red.

    python -m tests.simulations.planted_slowdowns                     the hot paths
    python -m tests.simulations.planted_slowdowns -k "cell or boards"

It prints a table in Markdown: the ratio of each benchmark, what it accepts, and the smallest planted slowdown that is
found. A slowdown is planted by busy waiting on our side (``--planted``).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

root = Path(__file__).parents[2]
module = root / "tests" / "benchmarks" / "test_hot_paths.py"
planted = "1.2,1.3,1.4,1.5,1.6,1.7,1.8,2,2.5"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        chosen = [str(module), "--benchmark-only", f"--benchmark-json={report}", f"--planted={planted}", *sys.argv[1:]]
        subprocess.run([sys.executable, "-m", "pytest", "-s", *chosen], cwd=root, stdout=sys.stderr, check=False)
        benchmarks = [each["extra_info"] for each in json.loads(report.read_text())["benchmarks"]]
    print("| benchmark | ratio of times | of CPU times | at most | smallest planted slowdown that is found |")
    print("|---|---|---|---|---|")
    for each in benchmarks:
        ratios = f"{each['time']:.2f} | {each['CPU time']:.2f} | {each['at_most']:g}"
        print(f"| {each['compared']} | {ratios} | {each.get('found', 'none')} |")


if __name__ == "__main__":
    main()
