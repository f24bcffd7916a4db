"""Compares errors of sample quality with the scatter over fresh draws, for trained models.

    PYTHONPATH=.:plugins python -m tests.simulations.trained_samplers --data-dir DIR [--draws 60] [--epochs 20]
        [--metric density]

trains a ``vae`` and a ``gan`` on the first 10,000 images of MNIST. Each draw has fresh samples, and fresh test images
out of the 60,000 others. ``DIR`` has MNIST in torchvision's layout. Two tables are written to standard output: how the
error of a value compares with the scatter of values, and how two samplers compare that see the same test images.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import harness
from harness import Noise
from harness.results.comparison import Measured, compare
from harness_metrics.quality.features import feature_space
from harness_metrics.quality.resampling import Resampled
from harness_metrics.quality.sample_quality import draw_samples
from tests.simulations.quality_errors import metrics, mnist, size

trained_on = 10_000
samplers = {"vae": "vae", "vae again": "vae", "gan": "gan"}


class Pair(NamedTuple):
    """What a board says of two samplers, over all draws.

    Args:
        difference: mean difference of their values.
        told: the root mean square of the errors of the differences.
        true: the standard deviation of the differences.
        apart: the share of draws in which their 95% interval leaves out 0.
    """

    difference: float
    told: float
    true: float
    apart: float


def fitted(folder: str, epochs: int, runs: Path) -> dict[str, Any]:
    """Train the models, and return them by name."""
    harness.run(
        sorted(set(samplers.values())),
        ["parameters"],
        "mnist",
        settings={"mnist.train_images": trained_on},
        seeds=1,
        epochs=epochs,
        data_dir=folder,
        runs=runs,
    )
    stored = harness.open(runs, data_dir=folder)
    return {fit.model: stored.load(fit.key) for fit in stored.fits()}


def feature_sets(folder: str, models: dict[str, Any], draws: int) -> Iterator[tuple[dict[str, Tensor], Tensor, Tensor]]:
    """Yield features of samples by sampler, of test images, and of training images, for each draw."""
    data, everything = (mnist(Path(folder), train_images=count) for count in (trained_on, 60_000))
    with torch.no_grad():
        space = feature_space(data, "classifier", None)
        images = torch.cat([everything.train.all(Noise(0)), everything.test.all(Noise(0))])
        real = torch.cat([space(x) for x in images.split(500)])
        train, others = real[:trained_on], real[trained_on:]
        for seed in range(draws):
            drawn = {
                name: space(draw_samples(models[model], size, data, seed + place * draws))
                for place, (name, model) in enumerate(samplers.items())
            }
            yield drawn, others[Noise(seed).permutation(len(others))[:size]], train


def row_of(found: Resampled) -> Measured:
    """Return a value as a row of a board."""
    groups, degrees = np.array(found.pseudo_values), float(found.degrees_of_freedom)
    rest = found.rest or 0.0
    return Measured({0: found.value}, (found.stderr,), degrees, group_values=groups, measurement_stderr=rest)


def pair_of(one: Sequence[Resampled], other: Sequence[Resampled]) -> Pair:
    """Compare two samplers in each draw."""
    differences, variances, apart = [], [], []
    for each in zip(one, other, strict=True):
        comparison = compare([row_of(found) for found in each])
        differences.append(float(comparison.difference[0, 1]))
        variances.append(float((comparison.over_examples + comparison.of_measurement)[0, 1]))
        apart.append(abs(differences[-1]) > float(comparison.margin()[0, 1]))
    return Pair(fmean(differences), math.sqrt(fmean(variances)), stdev(differences), fmean(apart))


def ratio(told: float, true: float) -> str:
    return f"{told / true:.2f}" if true else "–"


def tables(found: dict[str, dict[str, list[Resampled]]]) -> Iterator[str]:
    """Yield the lines of two Markdown tables."""
    yield "| samples of | metric | value | error | scatter | ratio |"
    yield "|---|---|---|---|---|---|"
    for model in ("vae", "gan"):
        for metric, by_sampler in found.items():
            its = by_sampler[model]
            told, true = math.sqrt(fmean(each.stderr**2 for each in its)), stdev(each.value for each in its)
            value = fmean(each.value for each in its)
            yield f"| `{model}` | `{metric}` | {value:.4g} | {told:.3g} | {true:.3g} | {ratio(told, true)} |"
    yield ""
    yield "| samplers | metric | difference | error | scatter | ratio | told apart |"
    yield "|---|---|---|---|---|---|---|"
    for name, other in (("`vae`, twice", "vae again"), ("`vae` and `gan`", "gan")):
        for metric, by_sampler in found.items():
            pair = pair_of(by_sampler["vae"], by_sampler[other])
            numbers = f"{pair.difference:.3g} | {pair.told:.3g} | {pair.true:.3g} | {ratio(pair.told, pair.true)}"
            yield f"| {name} | `{metric}` | {numbers} | {pair.apart:.1%} |"


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--metric", nargs="+", choices=metrics, default=list(metrics))
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as runs:
        models = fitted(given.data_dir, given.epochs, Path(runs))
    chosen = {name: metrics[name](metrics[name].Config()) for name in given.metric}
    found: dict[str, dict[str, list[Resampled]]] = {name: {each: [] for each in samplers} for name in chosen}
    for drawn, test, train in feature_sets(given.data_dir, models, given.draws):
        for name, metric in chosen.items():
            for sampler, samples in drawn.items():
                found[name][sampler].append(metric.resample(samples, test, train))
    print("\n".join(tables(found)))


if __name__ == "__main__":
    main()
