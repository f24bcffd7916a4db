"""Makes stores with many valid records, and measures what commands need for them.

    python -m tests.benchmarks.large_store FOLDER 1000 10000 100000
    python -m tests.benchmarks.large_store FOLDER 30000 --rows 10000 --seeds 3 --metrics 1

The records are those of models with five seeds on data sets with four metrics, on boards of at most 1,000 rows, unless
options say otherwise. Values per example are left out. Times are CPU time, which other programs on the machine hardly
change.
"""

from __future__ import annotations

import argparse
import itertools
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from harness.contracts.events import Record
from harness.planning.identity import hash_of
from harness.results.checksums import with_checksum
from harness.results.store import line_of


class Shape(NamedTuple):
    """How many rows a board has, how many seeds a row, and how many boards a data set."""

    rows: int = 1000
    seeds: int = 5
    metrics: int = 4


usual = Shape()


def component(name: str, **settings: int) -> dict[str, object]:
    """Return a component of a record, whose settings are all changed."""
    described = {"name": name, "distribution": "generative-harness", "version": "1", "settings": settings}
    return {**described, "changed": list(settings), "plugin_version": "0.3.0"}


def records(n: int, shape: Shape) -> Iterator[Record]:
    """Yield the first ``n`` records of the boards of a data set."""
    places = itertools.product(*map(range, shape))
    for model, seed, metric in itertools.islice(places, n):
        fit = hash_of(["fit", model, seed])
        yield Record(
            cell_key=hash_of([fit, metric]),
            fit_key=fit,
            dataset=component("mnist", train_images=10_000),
            model=component("vae", latent_dim=2 + model, hidden=64),
            metric=component(f"metric-{metric}"),
            seed=seed,
            budget={"epochs": 20, "batch_size": 128, "weights": "last"},
            engine={"device": "cpu", "threads": 1, "precision": "float32", "path": "single", "deterministic": True},
            machine=None,
            split="test",
            evaluation_seed=0,
            status="ok",
            value=100.0 + (model * 7919 % 1000) / 10 + seed / 100,
            stderr=0.1,
            n=10_000,
            unit="nats",
            direction="lower",
            environment="7d615350fc94fb3c546e0706",
            seconds=1.5,
            started="2026-11-26T09:00:00+00:00",
            ended="2026-11-26T09:00:02+00:00",
        )


def write(folder: Path, n: int, shape: Shape = usual) -> Path:
    """Write a store of ``n`` records, and return its folder; there are as many data sets as are needed."""
    folder.mkdir(parents=True, exist_ok=True)
    of_one = [line_of(record).decode().rpartition(', "checksum"')[0] + "}" for record in records(n, shape)]
    with (folder / "records.jsonl").open("w") as file:
        for number in range(n):
            dataset, place = divmod(number, math.prod(shape))
            line = (
                of_one[place].replace('_key": "', f'_key": "{dataset:02x}').replace("10000", f"{10_000 + dataset}", 1)
            )
            file.write(with_checksum(line) + "\n")
    return folder


# What is measured: code that finds the store in the variable ``folder``.
measured = {
    "start-up": "import numpy, scipy.special, harness.cli.leaderboard, harness.leaderboard.board",
    "open": "from harness.results.store import Store; Store(folder).records()",
    "boards": "from harness.results.store import Store; from harness.leaderboard.board import build_boards; "
    "store = Store(folder); build_boards(store.records(), store)",
    "leaderboard": "import contextlib, sys; from harness.cli import main; sys.stdout = open('/dev/null', 'w')\n"
    "with contextlib.suppress(SystemExit): main(['leaderboard', '--runs', str(folder), '--format', 'FORMAT'])",
}


def measure(folder: Path, code: str) -> tuple[float, float]:
    """Return the CPU seconds that code takes in a process of its own, and the peak of its memory in MiB."""
    script = (
        f"import time, resource; from pathlib import Path; folder = Path({str(folder)!r}); {measured['start-up']}\n"
        f"start = time.process_time()\n{code}\n"
        "import sys; peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "print(time.process_time() - start, peak, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    seconds, peak = done.stderr.splitlines()[-1].split()
    return float(seconds), float(peak)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where stores are made")
    parser.add_argument("sizes", type=int, nargs="+", help="numbers of records")
    for (name, default), whose in zip(usual._asdict().items(), ("board", "row", "data set"), strict=True):
        parser.add_argument(f"--{name}", type=int, default=default, help=f"of a {whose} (default: {default})")
    given = parser.parse_args()
    shape = Shape(given.rows, given.seeds, given.metrics)
    print(f"{'records':>9} {'file':>9}  " + "  ".join(f"{name:>22}" for name in ("open", "boards", "terminal", "json")))
    for n in given.sizes:
        folder = given.folder / "-".join(map(str, (n, *shape)))
        if not (folder / "records.jsonl").exists():
            write(folder, n, shape)
        size = (folder / "records.jsonl").stat().st_size / 2**20
        found = [measure(folder, measured[name]) for name in ("open", "boards")]
        found += [measure(folder, measured["leaderboard"].replace("FORMAT", each)) for each in ("terminal", "json")]
        print(
            f"{n:>9,} {size:>5,.0f} MiB  " + "  ".join(f"{s:>8.2f} s, {peak:>5,.0f} MiB" for s, peak in found),
            flush=True,
        )


if __name__ == "__main__":
    main()
