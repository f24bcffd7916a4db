"""Precision, recall, density and coverage: whether samples lie among test images, and test images among samples.

A point's ball has the radius of its k-th nearest neighbour in its own set. The point itself is not its neighbour, but a
duplicate is, at distance 0. A point at exactly the radius is inside, as Kynkäänniemi et al. (2019) define it; the
package prdc excludes it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from harness import setting
from harness_metrics.quality.distances import by_rows, distances, nearest_left_out, radii, radii_left_out
from harness_metrics.quality.jackknife import Jackknife, group_of, means_left_out, pseudo_values
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
        """Return the value for features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return self.jackknife(samples, test, train).value


class Precision(_Neighbours):
    """The share of samples that lie in a ball of a test image (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of samples"
    is_share: ClassVar = True

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the share with its pseudo-values."""
        return _mean_over_points(samples, test, self.config.k, lambda balls: balls > 0)


class Recall(_Neighbours):
    """The share of test images that lie in a ball of a sample (Kynkäänniemi et al., 2019)."""

    Config = ThreeNeighbours
    unit: ClassVar = "share of test images"
    is_share: ClassVar = True

    def __init__(self, config: ThreeNeighbours) -> None:
        self.config = config

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the share with its pseudo-values."""
        value, over_test, over_samples = _mean_over_points(test, samples, self.config.k, lambda balls: balls > 0)
        return Jackknife(value, over_samples, over_test)


class Density(_Neighbours):
    """The number of balls of test images that contain a sample, divided by k (Naeem et al., 2020); it may exceed 1."""

    Config = FiveNeighbours
    unit: ClassVar = "balls / k"

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the density with its pseudo-values."""
        return _mean_over_points(samples, test, self.config.k, lambda balls: balls.double() / self.config.k)


class Coverage(_Neighbours):
    """The share of test images whose ball contains a sample (Naeem et al., 2020).

    For as many real images as test images it is about 1 − 2^−k.
    """

    Config = FiveNeighbours
    unit: ClassVar = "share of test images"
    is_share: ClassVar = True

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def jackknife(self, samples: Tensor, test: Tensor, train: Tensor) -> Jackknife:
        """Return the share with its pseudo-values."""
        k = self.config.k
        distance, without = nearest_left_out(test, samples)
        reach = radii(test, k)
        covered = (distance <= reach).double()
        still = distance.unsqueeze(1) <= radii_left_out(test, k)  # (n, G)
        kept = group_of(len(test)).to(test.device).unsqueeze(1) != torch.arange(still.shape[1], device=test.device)
        value = float(covered.mean())
        without_samples = (without <= reach.unsqueeze(1)).double().mean(0)
        without_test = (still & kept).sum(0) / kept.sum(0)
        return Jackknife(value, pseudo_values(value, without_samples), pseudo_values(value, without_test))


def _mean_over_points(points: Tensor, centres: Tensor, k: int, of: Callable[[Tensor], Tensor]) -> Jackknife:
    """Return the mean over points ``(N, d)`` of a function of the number of balls of ``centres`` that contain each.

    The pseudo-values are over the points, then over the centres.
    """
    found = of(balls_around(points, centres, radii(centres, k).unsqueeze(1)).squeeze(1)).double()
    reach = radii_left_out(centres, k)  # (M, G)
    left_out = group_of(len(centres)).to(reach.device).unsqueeze(1) == torch.arange(reach.shape[1], device=reach.device)
    without_centres = of(balls_around(points, centres, reach.masked_fill(left_out, -1))).double().mean(0)
    value = float(found.mean())
    return Jackknife(value, pseudo_values(value, means_left_out(found)), pseudo_values(value, without_centres))


def balls_around(points: Tensor, centres: Tensor, reach: Tensor) -> Tensor:
    """Return how many balls of ``centres`` ``(M, d)`` contain each point, ``(N, C)``, for radii ``(M, C)``."""

    def count(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, centres)
        return torch.stack([(found <= each).sum(1) for each in reach.T], 1)

    return by_rows(points, count)
