"""Precision, recall, density and coverage: whether samples lie among test images, and test images among samples.

A point's ball reaches to its k-th nearest neighbour of its own set, itself left out by its place, so that a point
equal to it counts as a neighbour at distance 0. What lies at exactly the radius is inside, as Kynkäänniemi et al.
(2019) define it; the package prdc leaves it out. Standard errors are over the points that are counted, the balls being
what they are; in few dimensions, where one sample decides over many test images, they are too small.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import by_rows, distances, radii
from harness_metrics.quality.sample_quality import QualitySettings, Reference, SampleQuality, Score


@dataclass(frozen=True)
class ThreeNeighbours(QualitySettings):
    """Settings of precision and recall."""

    k: int = setting(3, "a ball reaches to the k-th nearest neighbour", minimum=1)


@dataclass(frozen=True)
class FiveNeighbours(QualitySettings):
    """Settings of density and coverage."""

    k: int = setting(5, "a ball reaches to the k-th nearest neighbour", minimum=1)


class _Neighbours(SampleQuality):
    def least(self, reference: Reference) -> int:
        """Return k + 1: a point needs k others."""
        return int(self.config.k) + 1

    def score(self, samples: Tensor, reference: Reference) -> Score:
        """Score features of samples, ``(m, d)`` float64."""
        counted = self.counted(samples, reference.test).double()
        return Score(float(counted.mean()), float(counted.std() / len(counted) ** 0.5))

    @abstractmethod
    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return what is averaged: one number for each sample or each test image."""


class Precision(_Neighbours):
    """The share of samples that lie in a ball of a test image (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of samples"

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether each sample is in a ball, ``(m,)``."""
        return balls_around(samples, real, self.config.k) > 0


class Recall(_Neighbours):
    """The share of test images that lie in a ball of a sample (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of test images"
    error_is_over: ClassVar = "test examples"

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether each test image is in a ball, ``(n,)``."""
        return balls_around(real, samples, self.config.k) > 0


class Density(_Neighbours):
    """In how many balls of test images a sample lies, divided by k (Naeem et al., 2020); it may exceed 1."""

    Config = FiveNeighbours
    unit: ClassVar = "balls / k"

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return the number of balls that each sample is in over k, ``(m,)``."""
        balls: Tensor = balls_around(samples, real, self.config.k).double()
        return balls / int(self.config.k)


class Coverage(_Neighbours):
    """The share of test images whose ball holds a sample (Naeem et al., 2020).

    Of real images it holds one with a probability of about 1 − 2^−k, where there are as many of them as test images.
    """

    Config = FiveNeighbours
    unit: ClassVar = "share of test images"
    error_is_over: ClassVar = "test examples"

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def counted(self, samples: Tensor, real: Tensor) -> Tensor:
        """Return whether each test image's ball holds a sample, ``(n,)``."""
        nearest = by_rows(real, lambda rows, _: distances(rows, samples).amin(1))
        held: Tensor = nearest <= radii(real, self.config.k)
        return held


def balls_around(points: Tensor, centres: Tensor, k: int) -> Tensor:
    """Return in how many balls of ``centres`` each point lies, ``(N,)``."""
    reach = radii(centres, k)
    return by_rows(points, lambda rows, _: (distances(rows, centres) <= reach).sum(1))
