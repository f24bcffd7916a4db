"""The model mine."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import harness
from harness.toolkit import Bernoulli, elbo_terms


class Mine(nn.Module):
    """A variational autoencoder to start from: say here what the model is, and who published it.

    A model needs only a loss. Each other method lets more metrics measure it; remove those that it cannot have.
    """

    loss_name = "negative ELBO"

    @dataclass(frozen=True)
    class Config(harness.AdamSettings):
        """Settings, for --set mine.latent_dim=4; those of the optimiser are inherited."""

        latent_dim: int = harness.setting(8, "size of the code", minimum=1)
        hidden: int = harness.setting(128, "width of the hidden layers", minimum=1)

    zero: Tensor

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__()
        d, k, width = info.as_vector(), config.latent_dim, config.hidden
        self.shape = info.shape
        self.binary = info.support == "binary"
        self.encoder = nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Linear(width, 2 * k))
        self.decoder = nn.Sequential(nn.Linear(k, width), nn.ReLU(), nn.Linear(width, d))
        if not self.binary:
            self.log_deviation = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("zero", torch.zeros(k))

    def prior(self) -> Distribution:
        """Return p(z) = N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), a diagonal Gaussian, for examples (N, *shape)."""
        mean, scale = self.encoder(x.flatten(1)).chunk(2, dim=1)
        return Independent(Normal(mean, F.softplus(scale) + 1e-4, validate_args=False), 1)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z) for codes (N, latent): Bernoulli for binary data, else Gaussian."""
        out = self.decoder(z).unflatten(-1, self.shape)
        if self.binary:
            return Independent(Bernoulli(logits=out, validate_args=False), len(self.shape))
        return Independent(Normal(out, self.log_deviation.exp().expand_as(out), validate_args=False), len(self.shape))

    def decode(self, z: Tensor) -> Tensor:
        """Return the means of p(x | z), (N, *shape)."""
        return self.observation(z).mean

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded mean of the posterior, (N, *shape)."""
        return self.decode(self.posterior(x).mean)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Return n samples, (n, *shape), on the scale of the data."""
        return self.decode(noise.normal(n, len(self.zero)))

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        """Return the negative evidence lower bound, averaged over the batch, in nats."""
        terms = elbo_terms(self, x, noise)
        return (terms.kl - terms.reconstruction).mean()


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    """Provide the model."""
    return [harness.ModelSpec("mine", Mine, "say here what it is, in a few words", version="1")]
