"""Factor analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from harness import DataInfo, Noise, Split, setting
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.moments import moments


class FactorAnalysis(LinearGaussian):
    """x = W z + μ + ε with a noise variance ψ of its own for every value, by maximum likelihood.

    Given ψ, the best W is known: Ψ^½ U (Λ − I)^½ with the k leading eigenvectors and eigenvalues of Ψ^−½ S Ψ^−½, S
    the training covariance (Jöreskog, 1967); given W, ψ becomes the diagonal of S − W Wᵀ. The two alternate, from
    ψ = diag(S) (Barber, 2012, algorithm 21.1), until the mean log-likelihood gains less than the tolerance.

    Ours: no ψ falls below ``least_noise``. Without it, a value that never varies, such as a pixel at the border of
    every digit, would have an infinite density. The default is a standard deviation of 0.01; with less, the mean
    likelihood of new images hangs on a few of them that lie far out.
    """

    @dataclass(frozen=True)
    class Config(LinearGaussian.Config):
        """Settings."""

        least_noise: float = setting(1e-4, "smallest noise variance of a value, in squared units of the data", above=0)
        tolerance: float = setting(1e-3, "gain in mean log-likelihood at which to stop, in nats", above=0)
        iterations: int = setting(100, "at most so many", minimum=1)

    config: Config

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)

    def fit(self, train: Split, noise: Noise) -> None:
        """Alternate between W and ψ, in float64."""
        mean, covariance = moments(train, noise)
        least = self.config.least_noise
        variance = covariance.diagonal().clamp(min=least)
        loadings, best = _best_loadings(covariance, variance, self.config.latent_dim)
        for _ in range(self.config.iterations):
            variance = (covariance.diagonal() - loadings.square().sum(1)).clamp(min=least)
            before = best
            loadings, best = _best_loadings(covariance, variance, self.config.latent_dim)
            if best - before < self.config.tolerance:
                break
        self.mean.copy_(mean)
        self.loadings.copy_(loadings)
        self.noise_variance.copy_(variance)


def _best_loadings(covariance: Tensor, variance: Tensor, k: int) -> tuple[Tensor, float]:
    """Return the W of highest likelihood for a noise variance, ``(d, k)``, and the mean log-likelihood there.

    With the k eigenvalues λ that are kept, all of at least 1, and the other values' trace t, twice the negative mean
    log-likelihood is d log 2π + Σ log ψ + Σ log λ + k + t.
    """
    scale = variance.sqrt()
    values, vectors = torch.linalg.eigh(covariance / scale / scale.unsqueeze(1))  # in ascending order
    kept, rest = values[-k:], values[:-k].sum()
    signal = (kept - 1).clamp(min=0)
    loadings = (scale.unsqueeze(1) * vectors[:, -k:] * signal.sqrt()).flip(1)  # leading first
    deviance = variance.log().sum() + signal.log1p().sum() + (kept / (1 + signal)).sum() + rest
    return loadings, -0.5 * float(deviance + len(variance) * math.log(2 * math.pi))
