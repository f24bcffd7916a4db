"""How often the gate of speed raises false alarms, and how often it finds a slower training step.

    python -m tests.simulations.gate equal --runs 100       two installations of the same files
    python -m tests.simulations.gate slower --runs 40       steps that take 5, 10 and 15% longer
    python -m tests.simulations.gate report                 tables of the recorded runs

Each run is added to a file of JSON lines under ``docs/regression``, with the times of each block. The rules of asv and
pytest-benchmark are applied to the same times.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

from harness.cli.data import cache_dir, default_dataset
from harness.machine.cpu_load import CompetingLoad
from harness.regression.decisions import Block, decide, looks
from harness.regression.speed import Benchmark, Unit, survey, take_block
from harness.regression.versions import Version, installed

folder = Path(__file__).parents[2] / "docs" / "regression"
slowdown = 0.03
of_a_gate = 10  # benchmarks, which the error rate is shared by
planted = {"5%": 1.05, "10%": 1.10, "15%": 1.15}
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


def run(
    benchmarks: Sequence[Benchmark], versions: Mapping[str, Version], units: Mapping[str, Unit], hypotheses: int
) -> dict[str, Any]:
    """Run the gate once for each head among ``versions``, all in the same blocks; return what is kept of it."""
    heads = [arm for arm in versions if arm not in ("base", "again")]
    verdicts: dict[str, dict[str, Any]] = {head: {} for head in heads}
    blocks: list[Block] = []
    started = time.monotonic()
    with CompetingLoad() as load:
        while len(blocks) < looks[-1] and any(len(verdicts[head]) < len(benchmarks) for head in heads):
            taken = take_block(benchmarks, units, versions, random.Random())
            assert isinstance(taken, dict), taken
            blocks.append(taken)
            if len(blocks) in looks:
                for head in heads:
                    its_blocks = [_with_head(block, head) for block in blocks]
                    left = [each.name for each in benchmarks if each.name not in verdicts[head]]
                    is_last = len(blocks) == looks[-1]
                    found = decide(its_blocks, left, hypotheses, slowdown=slowdown, is_last=is_last) if left else {}
                    verdicts[head] |= {
                        name: {"verdict": each.verdict, "blocks": each.blocks, "ratio": round(each.ratio, 4)}
                        for name, each in found.items()
                        if each.verdict
                    }
    kept = [{name: {arm: _kept(ts) for arm, ts in times.items()} for name, times in block.items()} for block in blocks]
    seconds = round(time.monotonic() - started)
    return {"verdicts": verdicts, "seconds": seconds, "others": round(load.share or 0, 2), "blocks": kept}


def _with_head(block: Block, head: str) -> Block:
    return {
        name: {"base": times["base"], "again": times["again"], "head": times[head]} for name, times in block.items()
    }


def _kept(times: Sequence[float]) -> list[float]:
    return [float(f"{each:.4g}") for each in times]


def measure(kind: str, runs: int) -> None:
    """Run the gate, and add each run to the file of its kind."""
    base = installed(str(Path(__file__).parents[2]), cache_dir(), (), print)
    versions = {"base": base, "again": base}
    versions |= (
        {"head": copied(base, "the same")}
        if kind == "equal"
        else {name: copied(base, name, factor) for name, factor in planted.items()}
    )
    benchmarks = hot_paths if kind == "equal" else [step]
    hypotheses = len(hot_paths) if kind == "equal" else of_a_gate
    units = survey(benchmarks, base, base).units
    file = folder / f"{kind}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    for number in range(runs):
        found = run(benchmarks, versions, units, hypotheses)
        with file.open("a") as lines:
            lines.write(json.dumps(found, separators=(",", ":")) + "\n")
        print(number + 1, found["seconds"], "s", found["others"], found["verdicts"], flush=True)


def recorded(kind: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{kind}.jsonl").read_text().splitlines()]


def of_rule(rule: str, blocks: Sequence[Block], name: str, head: str) -> bool:
    """Return whether another tool's rule takes the head for slower, given the same times.

    ``asv``: ``asv continuous`` with its defaults: the factor 1.1 between medians, and a Mann-Whitney test of all times
    at 0.002 (asv/statistics.py, ``is_different`` and ``compute_stats``). ``pytest-benchmark``:
    ``--benchmark-compare-fail=mean:10%``, between a saved run and the next: one process each.
    """
    if rule == "pytest-benchmark":
        base, new = blocks[0][name]["base"], blocks[0][name][head]
        return fmean(new) > 1.10 * fmean(base)
    from scipy.stats import mannwhitneyu

    base, new = ([t for block in blocks for t in block[name][arm]] for arm in ("base", head))
    return median(new) > 1.1 * median(base) and mannwhitneyu(base, new).pvalue < 0.002


def rows() -> Iterator[str]:
    equal, slower = recorded("equal"), recorded("slower")
    alarms = sum(any(e["verdict"] == "worse" for e in each["verdicts"]["head"].values()) for each in equal)
    seconds = sorted(each["seconds"] for each in equal)
    yield f"equal versions: {alarms} alarms in {len(equal)} runs of {len(hot_paths)} benchmarks"
    if not alarms:
        yield f"  95% bound of the rate of false alarms a run: {1 - 0.05 ** (1 / len(equal)):.1%}"
    yield f"  seconds a run: median {median(seconds)}, longest {seconds[-1]}"
    verdicts = [e["verdict"] for each in equal for e in each["verdicts"]["head"].values()]
    yield "  verdicts: " + ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts)))
    for rule in ("asv", "pytest-benchmark"):
        wrong = sum(any(of_rule(rule, each["blocks"], b.name, "head") for b in hot_paths) for each in equal)
        yield f"  {rule}: {wrong} alarms in {len(equal)} runs"
    for name in planted:
        found = [each["verdicts"][name][step.name] for each in slower]
        hits = sum(each["verdict"] == "worse" for each in found)
        blocks = median(each["blocks"] for each in found)
        others = {r: sum(of_rule(r, e["blocks"], step.name, name) for e in slower) for r in ("asv", "pytest-benchmark")}
        yield f"a step {name} slower: found in {hits} of {len(slower)}, after {blocks} blocks (median); {others}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["equal", "slower", "report"])
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    if given.what == "report":
        print("\n".join(rows()))
    else:
        measure(given.what, given.runs)
