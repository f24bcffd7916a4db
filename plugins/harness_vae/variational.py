"""The base of the variational autoencoders: everything but their networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import AdamSettings, DataInfo, Noise, NotApplicable, Split, setting
from harness.toolkit import Bernoulli, elbo_terms

# Adam moves every parameter by about its learning rate, whatever the gradient. The learned parameter is the logarithm
# of the variance divided by this factor, so that it converges within one epoch instead of twenty.
log_variance_scale = 10.0


@dataclass(frozen=True)
class VariationalSettings(AdamSettings):
    """Settings of every variational autoencoder."""

    latent_dim: int = setting(20, "size of the code", minimum=1)
    observation: Literal["auto", "bernoulli", "gaussian"] = setting(
        "auto", "distribution of a pixel given the code; auto: bernoulli on binary data, else gaussian"
    )
    variance: Literal["learned", "validation"] | float = setting(
        "learned", "variance of the gaussian observation, in squared units of the data", above=0
    )


class VariationalAutoencoder(nn.Module, ABC):
    """Prior N(0, I), diagonal Gaussian posterior, Bernoulli or Gaussian observations, trained on the ELBO.

    A subclass builds the networks and implements ``encoded`` and ``decoded`` with them.
    """

    loss_name: ClassVar[str] = "negative ELBO"

    zero: Tensor
    scaled_log_variance: Tensor

    def __init__(self, info: DataInfo, config: VariationalSettings) -> None:
        super().__init__()
        self.config = config
        self.shape = info.shape
        automatic = "bernoulli" if info.support == "binary" else "gaussian"
        self.kind = automatic if config.observation == "auto" else config.observation
        if self.kind == "bernoulli" and info.support not in ("binary", "unit"):
            raise NotApplicable(f"observation=bernoulli needs data in [0, 1], and this data is {info.support}")
        fixed = isinstance(config.variance, float)
        scaled = torch.tensor(float(config.variance) if fixed else 0.1).log() / log_variance_scale
        if self.kind == "gaussian" and not fixed:
            self.scaled_log_variance = nn.Parameter(scaled)
        else:
            self.register_buffer("scaled_log_variance", scaled)
        self.register_buffer("zero", torch.zeros(config.latent_dim))

    @abstractmethod
    def encoded(self, x: Tensor) -> Tensor:
        """Return means and pre-softplus standard deviations of q(z | x), ``(N, 2 latent)``."""

    @abstractmethod
    def decoded(self, z: Tensor) -> Tensor:
        """Return logits or means of p(x | z), ``(N, *shape)``."""

    @property
    def variance(self) -> Tensor:
        """The variance of the Gaussian observation, a scalar."""
        return (log_variance_scale * self.scaled_log_variance).exp()

    def prior(self) -> Distribution:
        """N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), a diagonal Gaussian."""
        mean, scale = self.encoded(x).chunk(2, dim=1)
        return Independent(Normal(mean, F.softplus(scale), validate_args=False), 1)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z) for codes ``(N, latent)``."""
        out = self.decoded(z)
        if self.kind == "bernoulli":
            return Independent(Bernoulli(logits=out, validate_args=False), len(self.shape))
        scale = self.variance.sqrt().expand_as(out)
        return Independent(Normal(out, scale, validate_args=False), len(self.shape))

    def decode(self, z: Tensor) -> Tensor:
        """Return the means of p(x | z), ``(N, *shape)``."""
        return self.observation(z).mean

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the posterior mean, ``(N, *shape)``."""
        return self.decode(self.posterior(x).mean)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the means of p(x | z) for ``n`` codes from the prior, ``(n, *shape)``."""
        return self.decode(noise.normal(n, len(self.zero)))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the negative evidence lower bound, averaged over examples, in nats."""
        terms = elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction).mean()

    def calibrate(self, validation: Split, noise: Noise) -> None:
        """With ``variance=validation``, set the variance that maximises the bound on the validation split."""
        if self.kind == "gaussian" and self.config.variance == "validation":
            total = torch.zeros((), dtype=torch.float64, device=self.zero.device)
            for x in validation.batches(1000, noise):
                posterior = self.posterior(x)
                z = posterior.mean + posterior.stddev * noise.normal(*posterior.mean.shape)
                total += (self.decode(z) - x).double().square().flatten(1).mean(1).sum()
            self.scaled_log_variance.copy_((total / len(validation)).log() / log_variance_scale)
