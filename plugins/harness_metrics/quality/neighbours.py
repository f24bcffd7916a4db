"""Precision, recall, density and coverage: whether samples lie among test images, and test images among samples.

A point's ball has the radius of its k-th nearest neighbour in its own set. The point itself is not its neighbour, but a
duplicate is, at distance 0. A point at exactly the radius is inside, as Kynkäänniemi et al. (2019) define it; the
package prdc excludes it.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import balls_containing, by_rows, distances, radii
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


@dataclass(frozen=True)
class ThreeNeighbours(QualitySettings):
    """Settings of precision and recall."""

    k: int = setting(3, "the radius of a ball is the distance to the k-th nearest neighbour", minimum=1)


@dataclass(frozen=True)
class FiveNeighbours(QualitySettings):
    """Settings of density and coverage."""

    k: int = setting(5, "the radius of a ball is the distance to the k-th nearest neighbour", minimum=1)


class _Neighbours(SampleQuality):
    def least(self, dim: int) -> int:
        """Return k + 1: a point needs k others."""
        return int(self.config.k) + 1

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the mean of what is counted, for features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return float(self.counted(samples, test).double().mean())

    @abstractmethod
    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return what is averaged: one number per sample or per test image."""


class Precision(_Neighbours):
    """The share of samples that lie in a ball of a test image (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of samples"
    sure_at: ClassVar = (0, 1)
    aspect: ClassVar = "fidelity"
    limits: ClassVar = (
        "Cannot see missing modes, memorised training images, or blur; an outlier among the test images widens it."
    )

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether each sample is in a ball, ``(m,)``."""
        return balls_around(samples, real, self.config.k) > 0


class Recall(_Neighbours):
    """The share of test images that lie in a ball of a sample (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of test images"
    sure_at: ClassVar = (0, 1)
    aspect: ClassVar = "diversity"
    limits: ClassVar = (
        "Cannot see bad samples or memorised training images; wide samples and outliers among them raise it."
    )

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether each test image is in a ball, ``(n,)``."""
        return balls_around(real, samples, self.config.k) > 0


class Density(_Neighbours):
    """The number of balls of test images that contain a sample, divided by k (Naeem et al., 2020); it may exceed 1."""

    Config = FiveNeighbours
    unit: ClassVar = "balls / k"
    sure_at: ClassVar = (0,)
    aspect: ClassVar = "fidelity"
    limits: ClassVar = (
        "Cannot see missing modes, memorised training images, or blur: samples near the centre raise it above 1."
    )

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the value with its error; in halves, k is divided by √2, as a mean over the next whole numbers.

        Half as many test images have balls with twice the share of all. In many dimensions few balls hold most samples,
        the more so the smaller they are, and with the same k the error is up to a fifth too small. With half of k, the
        radii vary more, and in few dimensions it is a third too large.
        """
        smaller = max(1.0, self.config.k / math.sqrt(2))
        below = math.floor(smaller)
        shares = {below: below + 1 - smaller, below + 1: smaller - below}
        parts = [(share, Density(replace(self.config, k=k))) for k, share in shares.items() if share]

        def of_half(some: Tensor, some_test: Tensor) -> float:
            return math.fsum(share * each.compare(some, some_test, train) for share, each in parts)

        return by_half_samples(samples, test, lambda some, those: self.compare(some, those, train), of_half)

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return the number of balls that contain each sample, divided by k, ``(m,)``."""
        balls: Tensor = balls_around(samples, real, self.config.k).double()
        return balls / int(self.config.k)


class Coverage(_Neighbours):
    """The share of test images whose ball contains a sample (Naeem et al., 2020).

    For as many real images as test images it is about 1 − 2^−k.
    """

    Config = FiveNeighbours
    unit: ClassVar = "share of test images"
    sure_at: ClassVar = (0, 1)
    aspect: ClassVar = "diversity"
    limits: ClassVar = (
        "Cannot see memorised training images, or bad samples while others cover the test images; in many dimensions "
        "narrow and blurred samples cover them all."
    )

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether the ball of each test image contains a sample, ``(n,)``."""
        nearest = by_rows(real, lambda rows, _: distances(rows, samples).amin(1))
        covered: Tensor = nearest <= radii(real, self.config.k)
        return covered


def balls_around(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return how many balls of ``centres`` contain each point, ``(N,)``."""
    return balls_containing(points, centres, radii(centres, k))
