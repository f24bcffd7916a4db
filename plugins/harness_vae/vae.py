"""The variational autoencoder of fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import AdamSettings, Bernoulli, DataInfo, Noise, NotApplicable, Split, elbo_terms, setting

activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

# Adam moves every parameter by about its step size, whatever its gradient: what is learned is the logarithm of the
# variance over this, so that it finds its place within an epoch and not in twenty.
log_variance_scale = 10.0


class VAE(nn.Module):
    """Maximises E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)) with prior N(0, I) (Kingma and Welling, 2014).

    784–500 ReLU → mean (linear) and standard deviation (softplus) of a Gaussian posterior; 20–500 ReLU–784 back.
    The observation model is Bernoulli on binary data. On continuous data it is N(mean(z), variance · I) with one
    variance for all values: learned with the weights, fixed, or, as ``validation``, learned and then set to the
    value that maximises the bound on the validation split, which is the mean squared error there.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        latent_dim: int = setting(20, "size of the code", minimum=1)
        hidden: tuple[int, ...] = setting((500,), "widths of the encoder; the decoder mirrors them", minimum=1)
        activation: Literal["relu", "tanh", "sigmoid"] = setting("relu", "of the hidden layers")
        observation: Literal["auto", "bernoulli", "gaussian"] = setting(
            "auto", "distribution of a pixel given the code; auto: bernoulli on binary data, else gaussian"
        )
        variance: Literal["learned", "validation"] | float = setting(
            "learned", "of the gaussian observation, in squared units of the data", above=0
        )
        output_bias: Literal["random", "data-mean"] = setting(
            "random", "initial bias of the output: as torch draws it, or such that it gives the mean image"
        )

    zero: Tensor
    scaled_log_variance: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        self.config = config
        self.shape = info.shape
        automatic = "bernoulli" if info.support == "binary" else "gaussian"
        self.kind = automatic if config.observation == "auto" else config.observation
        if self.kind == "bernoulli" and info.support not in ("binary", "unit"):
            raise NotApplicable(f"a Bernoulli observation needs data in [0, 1], and this is {info.support}")
        widths = [info.as_vector(), *config.hidden]
        self.encoder = self._layers(widths)
        self.posterior_head = nn.Linear(widths[-1], 2 * config.latent_dim)  # means, then pre-softplus scales
        self.decoder = self._layers([config.latent_dim, *reversed(config.hidden)])
        self.output = nn.Linear(widths[1] if config.hidden else config.latent_dim, info.dim)
        if config.output_bias == "data-mean":
            self._start_at_mean(info.mean.flatten())
        fixed = isinstance(config.variance, float)
        scaled = torch.tensor(float(config.variance) if fixed else 0.1).log() / log_variance_scale
        if self.kind == "gaussian" and not fixed:
            self.scaled_log_variance = nn.Parameter(scaled)
        else:
            self.register_buffer("scaled_log_variance", scaled)
        self.register_buffer("zero", torch.zeros(config.latent_dim))

    def _layers(self, widths: list[int]) -> nn.Sequential:
        layers = nn.Sequential()
        for a, b in pairwise(widths):
            layers.extend([nn.Linear(a, b), activations[self.config.activation]()])
        return layers

    def _start_at_mean(self, mean: Tensor) -> None:
        inner = mean.clamp(1e-3, 1 - 1e-3)
        nn.init.zeros_(self.output.bias)
        self.output.bias.data += inner.logit() if self.kind == "bernoulli" else mean

    @property
    def variance(self) -> Tensor:
        """The variance of the Gaussian observation, a scalar."""
        return (log_variance_scale * self.scaled_log_variance).exp()

    def prior(self) -> Distribution:
        """N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), a diagonal Gaussian."""
        mean, scale = self.posterior_head(self.encoder(x.flatten(1))).chunk(2, dim=1)
        return Independent(Normal(mean, F.softplus(scale), validate_args=False), 1)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z)."""
        out = self.output(self.decoder(z)).unflatten(-1, self.shape)
        if self.kind == "bernoulli":
            return Independent(Bernoulli(logits=out, validate_args=False), len(self.shape))
        scale = self.variance.sqrt().expand_as(out)
        return Independent(Normal(out, scale, validate_args=False), len(self.shape))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the posterior's mean."""
        return self.observation(self.posterior(x).mean).mean

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the means of p(x | z) for ``n`` codes from the prior."""
        return self.observation(noise.normal(n, len(self.zero))).mean

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the negative evidence lower bound, averaged over examples, in nats."""
        terms = elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction).mean()

    def calibrate(self, validation: Split, noise: Noise) -> None:
        """Set the variance to the one that maximises the bound on the validation split, where that is asked for."""
        if self.kind == "gaussian" and self.config.variance == "validation":
            total = torch.zeros((), dtype=torch.float64, device=self.zero.device)
            for x in validation.batches(1000, noise):
                posterior = self.posterior(x)
                z = posterior.mean + posterior.stddev * noise.normal(*posterior.mean.shape)
                total += (self.observation(z).mean - x).double().square().flatten(1).mean(1).sum()
            self.scaled_log_variance.copy_((total / len(validation)).log() / log_variance_scale)
