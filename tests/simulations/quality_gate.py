"""How often a worse loss of the VAE is found from five seeds, by real training, and how often an equal one is.

From the root of the repository,

    python -m tests.simulations.quality_gate

trains the default VAE on binarized-mnist-10k for two epochs, and the same with faults in its loss, each from 100 seeds.
This takes about ten minutes of one core. It writes the values to docs/regression/quality.jsonl, and prints the verdicts
over all disjoint sets of five seeds. With ``--reuse`` the values are read from the file instead.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from harness import Record
from harness.regression.condensed import Condensed, condense
from harness.regression.quality import Side, compare_quality
from harness.results.store import Store

# What is trained: the model, and the fault in its loss.
variants = {
    "base": ("vae", ""),
    "KL divergence weighted by 1.35": ("worse-vae", "kl_weight=1.35"),
    "pixels smoothed by 0.007": ("worse-vae", "smoothing=0.007"),
    "another rounding": ("worse-vae", "factor=3"),
}
_rounding = "another rounding"
_few = 20  # seeds of the version that only rounds in another way
_component = {"distribution": "generative-harness", "version": "1", "settings": {}, "changed": []}
_names = {"dataset": "binarized-mnist-10k", "model": "vae", "metric": "elbo"}
_tolerances = {"elbo": 0.25}


@dataclass(frozen=True)
class Fit:
    """The ELBO of one fit on the test images, with means of 64 groups of images, in nats."""

    variant: str
    seed: int
    value: float
    stderr: float
    means: tuple[float, ...]

    def as_json(self) -> dict[str, Any]:
        return {**vars(self), "means": [round(mean, 4) for mean in self.means]}


def train(seeds: int, runs: Path) -> Iterator[Fit]:
    """Train every variant with ``harness run``, which resumes, and yield the fits."""
    for variant, (model, fault) in variants.items():
        number = min(seeds, _few) if variant == _rounding else seeds
        given = ["--models", model, *(["--set", f"{model}.{fault}"] if fault else []), "--seeds", str(number)]
        fixed = ["--metric", "elbo", "--dataset", "binarized-mnist-10k", "--epochs", "2", "--no-figures"]
        folders = ["--runs", str(runs), "--leaderboards", str(runs / "boards")]
        plugin = ["--plugin", str(Path(__file__).with_name("worse_vae.py"))]
        subprocess.run([sys.executable, "-m", "harness", "run", *given, *fixed, *folders, *plugin], check=True)
    yield from stored(runs)


def stored(runs: Path) -> Iterator[Fit]:
    """Yield the fits in a store."""
    store = Store(runs)
    names = {(model, fault): variant for variant, (model, fault) in variants.items()}
    for record in store.records():
        settings = record.model["settings"]
        fault = ",".join(f"{name}={settings[name]:g}" for name in record.model["changed"])
        values = store.values(record)
        if values is not None and record.value is not None and record.stderr is not None:
            means = condense(record, values).means
            yield Fit(
                names[record.model["name"], fault], record.seed, record.value, record.stderr, tuple(means.tolist())
            )


def side(fits: list[Fit]) -> Side:
    """Return the results of a version."""
    records, condensed = [], {}
    for fit in fits:
        key = f"seed {fit.seed}"
        fields = dict.fromkeys(("machine", "reason")) | {"split": "test", "evaluation_seed": 0, "engine": {}}
        fields |= {"status": "ok", "unit": "nats", "direction": "higher", "counted": "test examples", "n": 2000}
        kinds = {kind: {**_component, "name": name} for kind, name in _names.items()}
        records.append(
            Record(key, key, seed=fit.seed, budget={"epochs": 2}, value=fit.value, stderr=fit.stderr, **kinds, **fields)
        )
        condensed[key] = Condensed("test images", np.array(fit.means))
    return Side(records, lambda record: condensed.get(record.cell_key))


def verdicts(base: dict[int, Fit], head: dict[int, Fit], seeds: int) -> Counter[str]:
    """Compare two variants over all disjoint sets of that many seeds, and count the verdicts."""
    shared = sorted({*base} & {*head})
    found: Counter[str] = Counter()
    for start in range(0, len(shared) - seeds + 1, seeds):
        chosen = shared[start : start + seeds]
        old, new = (side([fits[seed] for seed in chosen]) for fits in (base, head))
        found[compare_quality(old, new, _tolerances)[0].verdict] += 1
    return found


def shifted(fits: dict[int, Fit], seeds: int) -> dict[int, Fit]:
    """Give each fit the seed of one of the next set: a version that draws other numbers and is equal otherwise."""
    return {seed: fits[seed + seeds] for seed in fits if seed + seeds in fits}


def main() -> None:
    """Train or read the fits, and print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=100, help="seeds of each variant (default: 100)")
    parser.add_argument("--runs", type=Path, default=Path("runs-quality-gate"), help="folder of the results")
    parser.add_argument("--values", type=Path, default=Path("docs/regression/quality.jsonl"), help="file of the values")
    parser.add_argument("--reuse", action="store_true", help="read the values instead of training")
    given = parser.parse_args()
    if not given.reuse:
        given.values.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(fit.as_json()) for fit in train(given.seeds, given.runs)]
        given.values.write_text("\n".join(lines) + "\n")
    fits: dict[str, dict[int, Fit]] = {variant: {} for variant in variants}
    for line in given.values.read_text().splitlines():
        fit = Fit(**json.loads(line))
        fits[fit.variant][fit.seed] = fit
    base = fits["base"]
    print("| head | seeds | difference (nats) | spread over seeds | sets | worse | verdicts |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for variant, head in [*list(fits.items())[1:], ("other random numbers", None)]:
        for seeds in (3, 5, 10):
            heads = shifted(base, seeds) if head is None else head
            gaps = [heads[seed].value - base[seed].value for seed in heads if seed in base]
            if len(gaps) < seeds:
                continue
            found = verdicts(base, heads, seeds)
            words = ", ".join(f"{number} {verdict}" for verdict, number in found.most_common())
            share = f"{found['worse'] / found.total():.0%}"
            print(
                f"| {variant} | {seeds} | {fmean(gaps):.2f} | {stdev(gaps):.2f} | {found.total()} | {share} | {words} |"
            )


if __name__ == "__main__":
    main()
