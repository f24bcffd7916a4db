"""Precision, recall, density and coverage: whether samples lie among test images, and test images among samples.

A point's ball has the radius of its k-th nearest neighbour in its own set. The point itself is not its neighbour, but a
duplicate is, at distance 0. A point at exactly the radius is inside, as Kynkäänniemi et al. (2019) define it; the
package prdc excludes it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import balls_containing, by_rows, distances, radii
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
    own_rate: ClassVar = True
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
    own_rate: ClassVar = True
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
    own_rate: ClassVar = True
    sure_at: ClassVar = (0,)
    aspect: ClassVar = "fidelity"
    limits: ClassVar = (
        "Cannot see missing modes, memorised training images, or blur: samples near the centre raise it above 1."
    )

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

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
