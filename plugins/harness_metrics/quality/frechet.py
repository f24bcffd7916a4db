"""The Fréchet distance between samples and test images, without its bias."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from harness_metrics.quality.resampling import Resampled, Terms, by_expansion, each_left_out, groups, without_bias
from harness_metrics.quality.sample_quality import QualitySettings, SampleQuality

_pairs = 10_000  # for a mean over pairs of rows


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
        """Return the corrected distance of features of samples ``(m, d)`` and of test images ``(n, d)``.

        A jackknife removes the bias. The second derivative would underestimate it with few samples per dimension.
        """
        fake, real = moments(samples), moments(test)
        root, root_of_fake = square_root(real.covariance), square_root(fake.covariance)
        return without_bias(
            frechet_distance(fake, real, root),
            each_left_out(samples, lambda kept: frechet_distance(moments(kept), real, root)),
            each_left_out(test, lambda kept: frechet_distance(moments(kept), fake, root_of_fake)),
        )

    def resample(self, samples: Tensor, test: Tensor, train: Tensor) -> Resampled:
        """Return the corrected distance with its error."""
        return by_expansion(self.compare(samples, test, train), *terms(samples, test))

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


class _Rows(NamedTuple):
    """One of two sets: deviations from the mean, whitened ones in the common basis, ``(n, d)``, and φ, ``(n,)``."""

    x: Tensor
    z: Tensor
    first: Tensor

    def mean_with_first(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the means of φ x, φ z and φ z zᵀ, divided by n."""
        n = len(self.x)
        weights = self.first / n**2
        return weights @ self.x, weights @ self.z, self.z.T @ (weights[:, None] * self.z)


def terms(samples: Tensor, test: Tensor) -> tuple[Terms, Terms]:
    """Return the terms of the distance between the moments of samples ``(m, d)`` and of test images ``(n, d)``.

    Let Σ₂^½ Σ₁^½ = Q S Pᵀ. For deviations x and y from both means, and z = Pᵀ Σ₁^−½ x or Qᵀ Σ₂^−½ y,

    - φ(x) = 2 (μ₁ − μ₂)·x + xᵀx − zᵀ S z, less its mean (Rippl, Munk and Sturm, 2016); φ(y) has the other sign of the
      first term;
    - the second derivatives follow: h(x, x') = 2 zᵀ S z' + k(z, z') and h(x, y) = −2 x·y − k(z, z'), with
      k(z, z') = Σᵢⱼ (zᵢ zⱼ − δᵢⱼ) (z'ᵢ z'ⱼ − δᵢⱼ) sᵢ sⱼ / (sᵢ + sⱼ).
    """
    a, b = moments(samples), moments(test)
    root_a, root_b = square_root(a.covariance), square_root(b.covariance)
    left, s, right = torch.linalg.svd(root_b @ root_a)
    inverse = torch.where(s > 1e-6 * s[0], 1 / s, 0)  # a direction without width on one side has no part in the map
    weights = (s * s[:, None] / (s + s[:, None])).nan_to_num()

    def rows_of(deviations: Tensor, to_basis: Tensor, gap: Tensor) -> _Rows:
        z = deviations @ to_basis * inverse
        first = 2 * deviations @ gap + deviations.square().sum(1) - z.square() @ s
        return _Rows(deviations, z, first - first.mean())

    x = rows_of(samples - a.mean, root_b @ left, a.mean - b.mean)
    y = rows_of(test - b.mean, root_a @ right.T, b.mean - a.mean)
    across = _mean_square(x.x, y.x, x.z, y.z, weights) / (2 * len(samples) * len(test))
    (of_x, of_zx, squares_x), (of_y, of_zy, squares_y) = x.mean_with_first(), y.mean_with_first()
    both = weights * (squares_x - squares_y)

    def terms_of(rows: _Rows, own: Tensor, other: Tensor, squares: Tensor) -> Terms:
        within = _mean_square(rows.z * s, rows.z, rows.z, rows.z, weights) / (2 * len(rows.z) ** 2)
        slope = 4 * (rows.z * s @ own - rows.x @ other) + 2 * (rows.z @ squares * rows.z).sum(1)
        return Terms(rows.first, within + across, slope)

    return terms_of(x, of_zx, of_y, both), terms_of(y, of_zy, of_x, -both)


def _mean_square(a: Tensor, b: Tensor, za: Tensor, zb: Tensor, weights: Tensor) -> float:
    """Return the mean of (2 aᵢ·bⱼ + k(zᵢ, zⱼ))² over about 10,000 pairs of different rows, or one for each row."""
    diagonal, total = weights.diagonal(), 0.0
    shifts = range(1, 1 + min(math.ceil(_pairs / len(a)), len(b) - 1))
    for shift in shifts:
        others = (torch.arange(len(a), device=a.device) + shift) % len(b)
        products, squares = za * zb[others], za.square() + zb[others].square()
        kernel = (products @ weights * products).sum(1) - squares @ diagonal + diagonal.sum()
        total += float((2 * (a * b[others]).sum(1) + kernel).square().mean())
    return total / len(shifts)
