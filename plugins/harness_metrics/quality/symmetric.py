"""Symmetric precision and recall: the smaller of a share of points inside balls and a share of balls with points."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from harness_metrics.quality.distances import by_rows, distances, radii
from harness_metrics.quality.neighbours import FiveNeighbours
from harness_metrics.quality.sample_quality import SampleQuality


class _Symmetric(SampleQuality):
    Config = FiveNeighbours
    sure_at: ClassVar = (0, 1)

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def least(self, dim: int) -> int:
        """Return k + 1: a point needs k others."""
        return int(self.config.k) + 1


class SymmetricPrecision(_Symmetric):
    """The smaller of two shares of samples: in a ball of a test image; with a test image in their own ball.

    See Khayatkhoei and AbdAlmageed (2023), who call the second share complement precision.
    """

    aspect: ClassVar = "fidelity"
    limits: ClassVar = "Cannot see memorised training images; missing modes and narrow samples lower it."
    unit: ClassVar = "share of samples"

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the share, from features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return symmetric(samples, test, self.config.k)


class SymmetricRecall(_Symmetric):
    """The smaller of recall and coverage, both with the same k (Khayatkhoei and AbdAlmageed, 2023)."""

    aspect: ClassVar = "diversity"
    limits: ClassVar = "Cannot see memorised training images, or bad samples while others still cover the test images."
    unit: ClassVar = "share of test images"

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the share, from features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return symmetric(test, samples, self.config.k)


def symmetric(points: Tensor, others: Tensor, k: int) -> float:
    """Return the smaller of two shares of the points: inside a ball of the others; with others inside their own ball.

    The radius of a ball is the distance to the k-th nearest other point of its own set. A point at exactly the radius
    is inside; the authors' code excludes it.
    """
    ours, theirs = radii(points, k), radii(others, k)

    def both(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, others)
        return torch.stack([(found <= theirs).any(1), (found <= ours[place, None]).any(1)], 1)

    return float(by_rows(points, both).double().mean(0).amin())
