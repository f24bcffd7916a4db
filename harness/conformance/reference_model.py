"""A model that is known exactly, on which metrics and figures are checked, and worse versions of it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, LowRankMultivariateNormal, Normal

from harness.data.dataset import Data, DataInfo
from harness.noise import Noise

latent = 2
faults = ("shifted", "wide", "collapsed", "blind", "idle", "noisy reconstructions")


class ReferenceModel(nn.Module):
    """x = W z + μ + σ ε with z and ε from N(0, I): probabilistic PCA (Tipping and Bishop, 1999).

    Args:
        info: of the data.
        config: unused.
        fault: one of ``faults``, which makes it worse in a known way; None for none.
    """

    def __init__(self, info: DataInfo, config: Any = None, fault: str | None = None) -> None:
        super().__init__()
        self.shape = info.shape
        self.fault = fault
        self.mean = nn.Parameter(info.mean.flatten().clone())
        self.loadings = nn.Parameter(0.1 * torch.randn(info.dim, latent))
        self.log_deviation = nn.Parameter(torch.tensor(-1.0))

    @classmethod
    @torch.no_grad()
    def fitted(cls, data: Data, fault: str | None = None) -> ReferenceModel:
        """Return the model with the greatest likelihood on the training split, then made worse by the fault."""
        model = cls(data.info, fault=fault)
        x = data.train.all(Noise(0)).flatten(1).double()
        values, vectors = torch.linalg.eigh(x.T.cov(correction=0))
        variance = values[:-latent].mean()
        model.mean.copy_(x.mean(0))
        model.loadings.copy_((vectors[:, -latent:] * (values[-latent:] - variance).sqrt()).flip(1))
        model.log_deviation.copy_(variance.log() / 2)
        if fault == "shifted":
            model.mean.add_(2 * x.std(0))
        elif fault == "wide":
            model.log_deviation.add_(math.log(6))
        elif fault == "collapsed":
            model.loadings.zero_()
            model.log_deviation.sub_(math.log(20))
        return model.eval()

    def prior(self) -> Distribution:
        """N(0, I)."""
        zero = torch.zeros_like(self.loadings[0])
        return Independent(Normal(zero, torch.ones_like(zero)), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return the exact p(z | x), whose components are independent, or a wrong one."""
        weighted = self.loadings / (2 * self.log_deviation).exp()
        precision = 1 + (self.loadings * weighted).sum(0)
        mean = (x.flatten(1) - self.mean) @ weighted / precision
        scale = precision.rsqrt().expand_as(mean)
        if self.fault == "blind":
            mean = torch.full_like(mean, 2.0)
        elif self.fault == "idle":
            mean, scale = torch.zeros_like(mean), torch.ones_like(mean)
        return Independent(Normal(mean, scale), 1)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        mean = self.decode(z)
        return Independent(Normal(mean, self.log_deviation.exp().expand_as(mean)), len(self.shape))

    def encode(self, x: Tensor) -> Tensor:
        """Return the means of the posterior, ``(N, 2)``."""
        return self.posterior(x).mean

    def decode(self, z: Tensor) -> Tensor:
        """Return W z + μ, ``(N, *shape)``."""
        return (z @ self.loadings.T + self.mean).unflatten(-1, self.shape)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded code."""
        found = self.decode(self.encode(x))
        return found + 0.5 * Noise(0).normal(*found.shape) if self.fault == "noisy reconstructions" else found

    def codes(self, x: Tensor) -> Tensor:
        """Return whether each number of the code is positive, ``(N, 2)`` int64."""
        return (self.encode(x) > 0).long()

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw from p(x)."""
        error = self.log_deviation.exp() * noise.normal(n, len(self.mean))
        return self.decode(noise.normal(n, latent)) + error.unflatten(1, self.shape)  # type: ignore[no-any-return]

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        """Add noise."""
        return x + 0.1 * noise.normal(*x.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log p(x)."""
        variance = (2 * self.log_deviation).exp().expand_as(self.mean)
        density: Tensor = LowRankMultivariateNormal(self.mean, self.loadings, variance).log_prob(x.flatten(1))
        return density

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −log p(x), averaged over examples."""
        return -self.log_prob(x).mean()

    def rescale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return x itself: the flow ends on the scale of the data."""
        return x, torch.zeros(len(x))

    def velocity(self, y: Tensor, t: Tensor) -> Tensor:
        """Return E[x − ε | (1 − t) ε + t x = y], which carries N(0, I) exactly to p(x)."""
        identity = torch.eye(len(self.mean), dtype=y.dtype)
        loadings, mean = self.loadings.to(y.dtype), self.mean.to(y.dtype)
        covariance = loadings @ loadings.T + (2 * self.log_deviation).exp() * identity
        of_mixture = t**2 * covariance + (1 - t) ** 2 * identity
        away = torch.linalg.solve(of_mixture, (y.flatten(1) - t * mean).T).T
        velocity: Tensor = mean + away @ (t * covariance - (1 - t) * identity)
        return velocity.view_as(y)
