"""Counts how often the interval of the Fréchet distance holds the true distance of two Gaussians.

    python tests/simulations/frechet.py [--draws 400]

writes a table to standard output, in more than an hour on one core. Both Gaussians have the same random covariance up
to a factor, so that the true distance has a closed form.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator

import torch
from torch import Tensor

from harness import Noise
from harness_metrics.quality.frechet import FrechetDistance

cases = ((1.0, 1.2), (0.3, 1.0), (0.0, 1.1), (0.0, 1.0))  # distance of the means, ratio of the standard deviations
sizes = tuple((dimensions, n) for n in (1000, 10_000, 50_000) for dimensions in (2, 16, 64))


def pairs(
    dimensions: int, n: int, shift: float, scale: float, draws: int
) -> tuple[float, Iterator[tuple[Tensor, Tensor]]]:
    """Return the true distance of two Gaussians, and ``draws`` pairs of samples ``(n, dimensions)`` of them."""
    noise = Noise(0)
    root = noise.normal(dimensions, dimensions).double() / math.sqrt(dimensions) + torch.eye(dimensions)
    true = shift**2 + (scale - 1) ** 2 * float(root.square().sum())  # tr (AAᵀ) (scale − 1)²

    def draw() -> Iterator[tuple[Tensor, Tensor]]:
        for _ in range(draws):
            x, y = (noise.normal(n, dimensions).double() @ root.T for _ in range(2))
            yield scale * x + shift / math.sqrt(dimensions), y

    return true, draw()


def row(dimensions: int, n: int, shift: float, scale: float, draws: int) -> str:
    """Return a line of the table."""
    from scipy.stats import t

    metric = FrechetDistance(FrechetDistance.Config())
    true, sets = pairs(dimensions, n, shift, scale, draws)
    found, plain = [], []
    for samples, test in sets:
        found.append(metric.resample(samples, test, test[:0]))
        plain.append(metric.parts(samples, test)["uncorrected"])
    values = torch.tensor([each.value for each in found], dtype=torch.float64)
    margins = [float(t.ppf(0.975, each.degrees_of_freedom)) * each.stderr for each in found]
    held = sum(abs(each.value - true) <= margin for each, margin in zip(found, margins, strict=True))
    told = math.sqrt(sum(each.stderr**2 for each in found) / draws)
    columns = [
        f"{dimensions} | {n:,} | {true:.4g} | {sum(plain) / draws:.4g} | {float(values.mean()):.4g}",
        f"{float(values.std()):.2g} | {told:.2g} | {told / float(values.std()):.2f} | {100 * held / draws:.1f}%",
    ]
    return f"| {' | '.join(columns)} |"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=400)
    draws = parser.parse_args().draws
    torch.set_num_threads(1)
    print("| dimensions | samples | true | uncorrected | corrected | true error | told error | ratio | intervals |")
    print("|---|---|---|---|---|---|---|---|---|")
    for dimensions, n in sizes:
        for shift, scale in cases:
            print(row(dimensions, n, shift, scale, draws), flush=True)


if __name__ == "__main__":
    main()
