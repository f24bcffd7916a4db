"""Factor analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from harness import DataInfo, Noise, Split, setting
from harness_linear.eigenpairs import leading_eigenpairs
from harness_linear.linear_gaussian import LinearGaussian
from harness_linear.moments import moments


class FactorAnalysis(LinearGaussian):
    """x = W z + μ + ε with a separate noise variance ψ for each value, fitted by maximum likelihood.

    Given ψ, the best W is Ψ^½ U (Λ − I)^½, where U and Λ are the k leading eigenvectors and eigenvalues of
    Ψ^−½ S Ψ^−½ and S is the training covariance (Jöreskog, 1967). Given W, ψ is the diagonal of S − W Wᵀ. The two
    updates alternate, starting from ψ = diag(S) (Barber, 2012, algorithm 21.1), until the mean log-likelihood gains
    less than the tolerance.

    Our choice: ψ never falls below ``least_noise``. Without it, a value that never varies, such as a pixel at the
    border of every digit, would have an infinite density. The default is a standard deviation of 0.01; with less, the
    mean likelihood of new images depends on a few outliers.
    """

    @dataclass(frozen=True)
    class Config(LinearGaussian.Config):
        """Settings."""

        least_noise: float = setting(1e-4, "lower limit of a noise variance, in squared units of the data", above=0)
        tolerance: float = setting(1e-3, "stop when the mean log-likelihood gains less, in nats", above=0)
        iterations: int = setting(100, "maximum number of iterations", minimum=1)

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
    """Return the most likely W for a noise variance, ``(d, k)``, and its mean log-likelihood in nats.

    Let λ be the k kept eigenvalues, all of at least 1, and t the sum of the others. Twice the negative mean
    log-likelihood is d log 2π + Σ log ψ + Σ log λ + k + t.
    """
    scale = variance.sqrt()
    kept, vectors, rest = leading_eigenpairs(covariance / scale / scale.unsqueeze(1), k)
    signal = (kept - 1).clamp(min=0)
    loadings = (scale.unsqueeze(1) * vectors * signal.sqrt()).flip(1)  # leading first
    deviance = variance.log().sum() + signal.log1p().sum() + (kept / (1 + signal)).sum() + rest
    return loadings, -0.5 * float(deviance + len(variance) * math.log(2 * math.pi))
