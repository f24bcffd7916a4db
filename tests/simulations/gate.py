"""How often the gate of speed raises false alarms, and how often it finds a slower training step.

    python -m tests.simulations.gate equal --runs 100       two installations of the same files
    python -m tests.simulations.gate slower --runs 40       steps that take 10 and 15% longer
    python -m tests.simulations.gate report                 tables of the recorded runs

Each run is added to a file of JSON lines under ``docs/regression``, with what each block shows and some of its times.
The rules of asv and pytest-benchmark are applied to those times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from harness.cli.data import cache_dir, default_dataset
from harness.machine.cpu_load import CompetingLoad
from harness.regression.decisions import Block, drift_of, slowdown_of
from harness.regression.speed import Benchmark, compare_speed, survey
from harness.regression.versions import Version, installed

folder = Path(__file__).parents[2] / "docs" / "regression"
slowdown = 0.03
seconds_of_a_run = 180
kept_times = 16  # of a process; asv keeps about as many
planted = {"10%": 1.10, "15%": 1.15}
plant = """

import time

_take = EagerSteps.take


def _slower(self, index):
    start = time.perf_counter()
    losses = _take(self, index)
    end = start + {factor} * (time.perf_counter() - start)
    while time.perf_counter() < end:
        pass
    return losses


EagerSteps.take = _slower
"""


def benchmark(name: str, **request: Any) -> Benchmark:
    common = {"dataset": default_dataset, "device": "cpu", "data": None, "cache": str(cache_dir())}
    return Benchmark(name, {**common, "plugins": [], "settings": {}, **request})


step = benchmark("training step of vae", work="step", model="vae")
hot_paths = [
    step,
    benchmark("elbo of vae", work="evaluation", model="vae", metric="elbo"),
    benchmark("boards of 300 records", work="boards"),
]


def copied(version: Version, name: str, factor: float | None = None) -> Version:
    """Return a copy of an installed version, whose training steps take ``factor`` times as long."""
    assert version.folder is not None
    copy = Path(tempfile.mkdtemp(prefix="harness-gate-")) / "installed"
    shutil.copytree(version.folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
    if factor is not None:
        with (copy / "harness" / "training" / "steps" / "eager.py").open("a") as file:
            file.write(plant.format(factor=factor))
    return Version(name, copy)


def run(benchmarks: Sequence[Benchmark], base: Version, head: Version, seconds: float) -> dict[str, Any]:
    """Run the gate once, and return what is kept of it."""
    blocks: list[Block] = []
    started = time.monotonic()
    with CompetingLoad() as load:
        surveyed = survey(benchmarks, base, head)
        findings = compare_speed(
            benchmarks, surveyed, base, head, slowdown=slowdown, deadline=started + seconds, keep=blocks.append
        )
    return {
        "verdicts": {each.name: each.verdict for each in findings},
        "ratios": {each.name: round(each.ratio, 4) for each in findings if each.ratio is not None},
        "seconds": round(time.monotonic() - started),
        "others": round(load.share or 0, 2),
        "blocks": [{name: kept(times) for name, times in block.items()} for block in blocks],
    }


def kept(times: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return what a block shows of a benchmark, and some of its times, evenly spread over the rounds."""
    step = max(1, len(times["base"]) // kept_times)
    some = {arm: [float(f"{each:.4g}") for each in its[::step]] for arm, its in times.items()}
    return {"slowdown": round(slowdown_of(times), 5), "drift": round(drift_of(times), 5), **some}


def measure(kind: str, runs: int) -> None:
    """Run the gate, and add each run to the file of its kind."""
    base = installed(str(Path(__file__).parents[2]), cache_dir(), (), print)
    heads = {"the same": None} if kind == "equal" else planted
    versions = {name: copied(base, name, factor) for name, factor in heads.items()}
    benchmarks = hot_paths if kind == "equal" else [step]
    file = folder / f"{kind}.jsonl"
    for number in range(runs):
        for name, head in versions.items():
            found = {"head": name, **run(benchmarks, base, head, seconds_of_a_run)}
            with file.open("a") as lines:
                lines.write(json.dumps(found, separators=(",", ":")) + "\n")
            shown = (found["verdicts"], found["ratios"], f"{len(found['blocks'])} blocks", f"others {found['others']}")
            print(number + 1, name, found["seconds"], "s", *shown, flush=True)


def recorded(kind: str) -> list[dict[str, Any]]:
    file = folder / f"{kind}.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def of_rule(rule: str, blocks: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return whether another tool's rule takes the head for slower, given the same times.

    ``asv``: ``asv continuous`` with its defaults: the factor 1.1 between medians, and a Mann-Whitney test of all times
    at 0.002 (asv/statistics.py, ``is_different`` and ``compute_stats``). It starts two processes of each version.
    ``pytest-benchmark``: ``--benchmark-compare-fail=mean:10%``, between a saved run and the next: one process each.
    """
    if rule == "pytest-benchmark":
        base, new = blocks[0][name]["base"], blocks[0][name]["head"]
        return fmean(new) > 1.10 * fmean(base)
    from scipy.stats import mannwhitneyu

    base, new = ([t for block in blocks[:2] for t in block[name][arm]] for arm in ("base", "head"))
    return bool(median(new) > 1.1 * median(base) and mannwhitneyu(base, new).pvalue < 0.002)


def rows_of_equal(equal: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    alarms = sum("worse" in each["verdicts"].values() for each in equal)
    seconds = sorted(each["seconds"] for each in equal)
    yield f"equal versions: {alarms} alarms in {len(equal)} runs of {len(hot_paths)} benchmarks"
    if not alarms:
        yield f"  95% bound of the rate of false alarms a run: {1 - 0.05 ** (1 / len(equal)):.1%}"
    yield f"  seconds a run: median {median(seconds)}, longest {seconds[-1]}"
    yield f"  share of the CPUs that others used: median {median(each['others'] for each in equal)}"
    verdicts = [verdict for each in equal for verdict in each["verdicts"].values()]
    yield "  verdicts: " + ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts)))
    for rule in ("asv", "pytest-benchmark"):
        wrong = sum(any(of_rule(rule, each["blocks"], b.name) for b in hot_paths) for each in equal)
        yield f"  {rule}: {wrong} alarms in {len(equal)} runs"


def rows() -> Iterator[str]:
    equal, slower = recorded("equal"), recorded("slower")
    if equal:
        yield from rows_of_equal(equal)
    for name in planted:
        its = [each for each in slower if each["head"] == name]
        if not its:
            continue
        found = [each["verdicts"][step.name] for each in its]
        blocks, took = median(len(each["blocks"]) for each in its), median(each["seconds"] for each in its)
        load = median(each["others"] for each in its)
        others = {r: sum(of_rule(r, e["blocks"], step.name) for e in its) for r in ("asv", "pytest-benchmark")}
        counts = ", ".join(f"{found.count(v)} {v}" for v in sorted(set(found)))
        yield f"a step {name} slower: {counts} of {len(its)}, after {blocks} blocks and {took} s (medians)"
        yield f"  share of the CPUs that others used: median {load}"
        yield f"  found by other rules: {others}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["equal", "slower", "report"])
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    if given.what == "report":
        print("\n".join(rows()))
    else:
        measure(given.what, given.runs)
