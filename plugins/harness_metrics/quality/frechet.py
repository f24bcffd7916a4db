"""The Fréchet distance between samples and test images, without its bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from harness_metrics.quality.resampling import Resampled, by_jackknife, each_left_out, groups
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality


class Moments(NamedTuple):
    """Mean ``(d,)`` and covariance ``(d, d)`` of features, the latter with n − 1."""

    mean: Tensor
    covariance: Tensor


class FrechetDistance(SampleQuality):
    """‖μ₁ − μ₂‖² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), between Gaussians with the moments of the features (Heusel et al., 2017).

    Computed in float64; the trace of the square root comes from the eigenvalues of Σ₂^½ Σ₁ Σ₂^½, which is symmetric.

    The distance between the moments of finite sets is too large, by about c / n (Chong and Forsyth, 2020, who
    extrapolate it to n → ∞). Here a jackknife over samples and over test images removes the bias, so that equal
    distributions have 0 on average, and a value can be negative. ``uncorrected`` is the distance that papers report.
    """

    Config = QualitySettings
    unit: ClassVar = "squared distance"
    direction: ClassVar = "lower"
    limits: ClassVar = (
        "Cannot see memorised training images, or what leaves the mean and covariance of the features equal."
    )

    def __init__(self, config: QualitySettings) -> None:
        self.config = config

    def least(self, dim: int) -> int:
        """Return the number of dimensions plus 1, and at least 3: with fewer samples a covariance is singular."""
        return max(3, dim + 1)

    def least_with_error(self, dim: int) -> int:
        """Return the number that is enough without a tenth."""
        least = self.least(dim)
        return next(n for n in itertools.count(least) if n - math.ceil(n / min(groups, n)) >= least)

    def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
        """Return the corrected distance of features of samples ``(m, d)`` and of test images ``(n, d)``."""
        return self.resample(samples, test, train).value

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the corrected distance with its error by the jackknife.

        Half-samples would need twice as many samples as dimensions.
        """
        fake, real = moments(samples), moments(test)
        root, root_of_fake = square_root(real.covariance), square_root(fake.covariance)
        return by_jackknife(
            frechet_distance(fake, real, root),
            each_left_out(samples, lambda kept: frechet_distance(moments(kept), real, root)),
            each_left_out(test, lambda kept: frechet_distance(moments(kept), fake, root_of_fake)),
            correct=True,
        )

    def parts(self, samples: Tensor, test: Tensor) -> Mapping[str, float]:
        """Return the distance between the moments of features of samples ``(m, d)`` and of test images ``(n, d)``."""
        real = moments(test)
        return {"uncorrected": frechet_distance(moments(samples), real, square_root(real.covariance))}

    def between_gaussians(
        self, mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
    ) -> float:
        """Return the exact distance of two Gaussians."""
        other = Moments(other_mean, other_covariance)
        return frechet_distance(Moments(mean, covariance), other, square_root(other_covariance))


def moments(x: Tensor) -> Moments:
    """Return the mean and the covariance of features ``(n, d)``."""
    mean = x.mean(0)
    centred = x - mean
    return Moments(mean, centred.T @ centred / (len(x) - 1))


def square_root(matrix: Tensor) -> Tensor:
    """Return the symmetric square root of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


def frechet_distance(a: Moments, b: Moments, root: Tensor) -> float:
    """Return the squared Fréchet distance of two Gaussians; ``root`` is the square root of the second's covariance."""
    cross = torch.linalg.eigvalsh(root @ a.covariance @ root).clamp(min=0).sqrt().sum()
    return float((a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross)
