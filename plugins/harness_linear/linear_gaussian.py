"""The base of linear models with Gaussian codes and Gaussian noise: everything but fitting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import DataInfo, Noise, NotApplicable, setting


class LinearGaussian(nn.Module):
    """x = W z + μ + ε with z from N(0, I) and ε from N(0, diag(ψ)), so every distribution is Gaussian and exact.

    The columns of W are orthogonal under 1/ψ, so the posterior has independent components. This loses no generality,
    because codes may be rotated. A subclass fits W, μ and ψ, which it may keep as one number.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        latent_dim: int = setting(20, "size of the code, k", minimum=1)

    check_settings: ClassVar = {"latent_dim": 1}  # so that the checks can use data of two values
    one_variance: ClassVar = False  # whether ψ is the same for all values

    mean: Tensor
    loadings: Tensor
    noise_variance: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        if config.latent_dim >= info.as_vector():
            raise NotApplicable(f"latent_dim={config.latent_dim} must be less than the {info.dim} values of an example")
        self.config = config
        self.shape = info.shape
        self.register_buffer("mean", torch.zeros(info.dim))  # μ
        self.register_buffer("loadings", torch.zeros(info.dim, config.latent_dim))  # W
        self.register_buffer("noise_variance", torch.ones(1 if self.one_variance else info.dim))  # ψ, broadcast

    def prior(self) -> Distribution:
        """N(0, I)."""
        zero = torch.zeros_like(self.loadings[0])
        return Independent(Normal(zero, torch.ones_like(zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return the exact p(z | x): precision 1 + Σ w²/ψ and mean Σ w (x − μ)/ψ over it, for each code."""
        weighted = self.loadings / self.noise_variance.unsqueeze(1)
        precision = 1 + (self.loadings * weighted).sum(0)
        mean = (x.flatten(1) - self.mean) @ weighted / precision
        return Independent(Normal(mean, precision.rsqrt().expand_as(mean), validate_args=False), 1)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z) = N(W z + μ, diag(ψ))."""
        mean = self.decode(z)
        scale = self.noise_variance.sqrt().expand_as(self.mean).unflatten(0, self.shape).expand_as(mean)
        return Independent(Normal(mean, scale, validate_args=False), len(self.shape))

    def encode(self, x: Tensor) -> Tensor:
        """Return the means of the posterior, ``(N, k)``."""
        return self.posterior(x).mean

    def decode(self, z: Tensor) -> Tensor:
        """Return W z + μ, ``(N, *shape)``."""
        return (z @ self.loadings.T + self.mean).unflatten(-1, self.shape)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the posterior mean; it is closer to μ than the projection of ``x``."""
        return self.decode(self.encode(x))

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw from p(x), including the noise ε."""
        z = noise.normal(n, self.loadings.shape[1])
        error = self.noise_variance.sqrt() * noise.normal(n, len(self.mean))
        return self.decode(z) + error.unflatten(1, self.shape)  # type: ignore[no-any-return]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log N(x; μ, W Wᵀ + diag(ψ)) in nats, ``(N,)`` float64.

        Woodbury's identity and the determinant lemma reduce it to the k × k matrix I + Wᵀ diag(1/ψ) W. It is exact even
        if W's columns are not orthogonal.
        """
        loadings, variance = self.loadings.double(), self.noise_variance.double().expand_as(self.mean)
        centred = x.flatten(1).double() - self.mean.double()
        weighted = loadings / variance.unsqueeze(1)
        identity = torch.eye(loadings.shape[1], dtype=torch.float64, device=loadings.device)
        factor = torch.linalg.cholesky(identity + loadings.T @ weighted)
        explained = torch.linalg.solve_triangular(factor, (centred @ weighted).T, upper=False)  # (k, N)
        distance = (centred.square() / variance).sum(1) - explained.square().sum(0)
        log_determinant = variance.log().sum() + 2 * factor.diagonal().log().sum()
        return -0.5 * (distance + log_determinant + len(variance) * math.log(2 * math.pi))  # type: ignore[no-any-return]
