"""Clipped density and clipped coverage: calibrated values, in which no single point counts for much."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from harness_metrics.quality.distances import balls_containing, points_inside, radii
from harness_metrics.quality.neighbours import FiveNeighbours
from harness_metrics.quality.resampling import Resampled, by_half_samples
from harness_metrics.quality.sample_quality import SampleQuality

tolerance = 1e-9  # of counts: more than the rounding error of their expectation, far less than a step between two sizes


class _Clipped(SampleQuality):
    Config = FiveNeighbours
    unit: ClassVar = "share of good samples"
    sure_at: ClassVar = (0, 1)

    def __init__(self, config: FiveNeighbours) -> None:
        self.config = config

    def least(self, dim: int) -> int:
        """Return k + 1: a point needs k others."""
        return int(self.config.k) + 1

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the value for features of samples ``(m, d)`` and of test images ``(n, d)``, at most 1."""
        return min(self.unclipped(samples, test), 1.0)

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the value with the error of the unclipped one: clipping to 1 hides it."""
        found = by_half_samples(samples, test, self.unclipped)
        value = min(found.value, 1.0)
        return found._replace(
            value=value, pseudo_values=tuple(each - found.value + value for each in found.pseudo_values)
        )

    @abstractmethod
    def unclipped(self, samples: Tensor, real: Tensor) -> float:
        """Return the value for features of samples ``(m, d)`` and of test images ``(n, d)``, which may exceed 1."""


class ClippedDensity(_Clipped):
    """The density of test images around samples, relative to that around test images (Salvy et al., 2025).

    It is about the share of good samples if the others are far from the data. It is clipped to 1, so that the mean over
    equal distributions is a little lower. Its error is that of the unclipped value.
    """

    aspect: ClassVar = "fidelity"
    limits: ClassVar = "Cannot see missing modes, memorised training images, or blur."

    def unclipped(self, samples: Tensor, real: Tensor) -> float:
        """Return the mean number of balls that contain a sample, relative to real points.

        The radius of a real point's ball is the distance to its k-th nearest other real point, but at most the median
        of these. The number of balls counts up to k. For a real point, its own ball is left out.
        """
        k = self.config.k
        reach = radii(real, k)
        reach = reach.clamp(max=reach.quantile(0.5))
        ours, theirs = balls_containing(samples, real, reach), balls_containing(real, real, reach) - 1
        return float(ours.clamp(max=k).double().mean() / theirs.clamp(max=k).double().mean())


class ClippedCoverage(_Clipped):
    """The share of good samples that explains how many samples test images have nearby (Salvy et al., 2025).

    Bad samples lower it as missing modes do. It is clipped to 1, so that the mean over equal distributions is a little
    lower. Its error is that of the unclipped value.
    """

    aspect: ClassVar = "diversity"
    limits: ClassVar = "Cannot tell bad samples from missing ones, or see memorised training images or blur."

    def unclipped(self, samples: Tensor, real: Tensor) -> float:
        """Return how many samples of the real distribution are expected to have the same counts, divided by m + 1.

        For each real point the samples no farther than its k-th nearest other real point are counted, up to k. (The
        authors' code excludes a sample at exactly that distance.) The result is the number of sizes 0, 1, … 3m for
        which so many samples of the real distribution have a lower mean count in expectation.
        """
        k = self.config.k
        count = points_inside(real, radii(real, k), samples).clamp(max=k).double().mean()
        expected = expected_counts(3 * len(samples), len(real), k).to(count.device)
        return float((expected < count - tolerance).sum()) / (len(samples) + 1)


def expected_counts(m: int, n: int, k: int) -> Tensor:
    """Return E[min(J, k)] for 0 … m samples, ``(m + 1,)``: J samples are nearer to one of n real points than k others.

    All orders of the n − 1 other real points and of the samples by their distance are equally likely, so that
    P(J = j) = C(k−1+j, j) C(n−1−k+m−j, m−j) / C(n−1+m, m). This is the sum of Salvy et al. (2025) over the
    beta-binomial distribution, in closed form. Their code sets it to 0 for fewer than k samples.
    """
    sizes, j = torch.arange(m + 1, dtype=torch.float64)[:, None], torch.arange(k, dtype=torch.float64)
    rest = (sizes - j).clamp(min=0)
    probability = (
        (_log_choose(k - 1 + j, j) + _log_choose(n - 1 - k + rest, rest) - _log_choose(n - 1 + sizes, sizes))
        .exp()
        .where(sizes >= j, 0)
    )
    return k - ((k - j) * probability).sum(1)


def _log_choose(n: Tensor, k: Tensor) -> Tensor:
    return torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
