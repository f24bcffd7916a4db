"""Compares the standard errors of sample quality with the scatter of values over fresh samples and test images.

    PYTHONPATH=.:plugins python tests/simulations/quality_errors.py [--draws 200] [--errors 25]
        [--data-dir DIR] [--metric density]

writes a table to standard output, in about half an hour on one core. The scatter is over all draws, and the error is
the root mean square of those of the first few. Without ``--data-dir``, a folder with MNIST in torchvision's layout,
only Gaussian features are drawn.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import Data, DataSource, Noise
from harness_datasets.idx import MNIST
from harness_metrics.quality.features import feature_space
from harness_metrics.quality.frechet import FrechetDistance
from harness_metrics.quality.kernel import KernelDistance
from harness_metrics.quality.neighbours import Coverage, Density, Precision, Recall
from harness_metrics.quality.sample_quality import SampleQuality
from harness_metrics.quality.spread import Diversity, Memorisation

metrics: dict[str, Any] = {
    "frechet-distance": FrechetDistance,
    "kernel-distance": KernelDistance,
    "precision": Precision,
    "recall": Recall,
    "density": Density,
    "coverage": Coverage,
    "memorisation": Memorisation,
    "diversity": Diversity,
}
size, train_size = 1000, 5000
Draw = Callable[[Noise], tuple[Tensor, Tensor, Tensor]]


def gaussians(dimensions: int, shift: float, scale: float, n: int = size) -> Draw:
    """Return n samples from N(shift, scale² I), and as many test images and training data from N(0, I)."""

    def draw(noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        sets = [noise.normal(each, dimensions).double() for each in (n, n, train_size)]
        return scale * sets[0] + shift / math.sqrt(dimensions), sets[1], sets[2]

    return draw


def mnist(folder: Path, **settings: int) -> Data:
    """Load MNIST from a folder in torchvision's layout."""
    return MNIST(MNIST.Config(**settings)).load(DataSource(folder, Path(tempfile.mkdtemp()), print))


def images(folder: Path, corrupted: bool) -> Draw:
    """Return classifier features of disjoint MNIST images; samples may be blurred or lack some digits."""
    data = mnist(folder)
    with torch.no_grad():
        space = feature_space(data, "classifier", None)
        splits = [each.all(Noise(0)) for each in data.splits.values()]
        labels = torch.cat([each.labels for each in data.splits.values() if each.labels is not None])
        real = torch.cat([space(x) for x in splits])
        noise = Noise(1)
        other = torch.cat([space((x + 0.3 * noise.normal(*x.shape)).clamp(0, 1)) for x in splits])

    def draw(noise: Noise) -> tuple[Tensor, Tensor, Tensor]:
        order = noise.permutation(len(real))
        test, train, rest = order[:size], order[size : size + train_size], order[size + train_size :]
        if not corrupted:
            return real[rest[:size]], real[test], real[train]
        return other[rest[labels[rest] < 8][:size]], real[test], real[train]

    return draw


def told_and_true(metric: SampleQuality, draws: list[tuple[Tensor, Tensor, Tensor]], errors: int) -> tuple[float, ...]:
    """Return the mean value, the root mean square of the first errors, and the standard deviation of the values."""
    values = torch.tensor([metric.compare(*each) for each in draws])
    found = [metric.resample(*each) for each in draws[:errors]]
    told = math.sqrt(sum(each.stderr**2 for each in found) / len(found))
    return float(values.mean()), told, float(values.std())


def rows(settings: dict[str, Draw], draws: int, errors: int, names: list[str]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield "| features | metric | value | error | scatter | ratio |"
    yield "|---|---|---|---|---|---|"
    for name, draw in settings.items():
        sets = [draw(Noise(seed)) for seed in range(draws)]
        for metric in names:
            kind = metrics[metric]
            value, told, true = told_and_true(kind(kind.Config()), sets, errors)
            yield f"| {name} | `{metric}` | {value:.4g} | {told:.3g} | {true:.3g} | {told / true:.2f} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--errors", type=int, default=25)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--metric", nargs="+", choices=metrics, default=list(metrics))
    given = parser.parse_args()
    torch.set_num_threads(1)
    settings = {
        "N(0, I) and N(0, I), 2 dimensions": gaussians(2, 0, 1),
        "N(0.5, 0.8² I) and N(0, I), 2 dimensions": gaussians(2, 0.5, 0.8),
        "N(0, I) and N(0, I), 64 dimensions": gaussians(64, 0, 1),
        "N(1, 0.9² I) and N(0, I), 64 dimensions": gaussians(64, 1, 0.9),
        "N(1, 0.9² I) and N(0, I), 64 dimensions, 400 samples": gaussians(64, 1, 0.9, 400),
    }
    if given.data_dir is not None:
        settings |= {
            "MNIST images": images(given.data_dir, corrupted=False),
            "noisy MNIST images of 0 to 7, and all": images(given.data_dir, corrupted=True),
        }
    for line in rows(settings, given.draws, given.errors, given.metric):
        print(line, flush=True)


if __name__ == "__main__":
    main()
