"""The models: pythae has the networks and the losses, harness trains and measures them."""

from dataclasses import dataclass
from typing import Any

import torch
from pythae.models import IWAE, VAE, VAMP, BetaTCVAE, BetaTCVAEConfig, IWAEConfig, VAEConfig, VAMPConfig
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

import harness
from harness.toolkit import Bernoulli


class PythaeVAE(nn.Module):
    """A model of pythae with its own networks: one hidden layer of 512 units with ReLU, and pixels by a sigmoid.

    Binary data have pythae's loss ``bce``, p(x | z) = Bernoulli. Other data in [0, 1] have ``mse``, p(x | z) = N(x, I);
    pythae leaves out its constant, so the loss is not the bound.
    """

    @dataclass(frozen=True)
    class Config(harness.AdamSettings):
        """Settings."""

        latent_dim: int = harness.setting(16, "size of the code", minimum=1)

    loss_name = "loss of pythae"
    zero: Tensor

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__()
        info.as_vector()
        if info.support not in ("binary", "unit"):
            raise harness.NotApplicable(f"the decoders of pythae end in a sigmoid, and this data is {info.support}")
        self.shape, self.is_binary = info.shape, info.support == "binary"
        loss = "bce" if self.is_binary else "mse"
        self.pythae = self.build(config, input_dim=info.shape, latent_dim=config.latent_dim, reconstruction_loss=loss)
        self.register_buffer("zero", torch.zeros(config.latent_dim))

    def build(self, config: Any, **common: Any) -> VAE:
        """Return the model of pythae."""
        return VAE(VAEConfig(**common))

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        """Return pythae's loss, with the noise in place of torch's global generator."""
        self.pythae._sample_gauss = lambda mean, deviation: (mean + deviation * noise.normal(*mean.shape), None)
        try:
            return self.pythae({"data": x}).loss
        finally:
            del self.pythae._sample_gauss

    def prior(self) -> Distribution:
        """Return p(z) = N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), a diagonal Gaussian, for examples (N, *shape)."""
        found = self.pythae.encoder(x)
        return Independent(Normal(found.embedding, (0.5 * found.log_covariance).exp(), validate_args=False), 1)

    def decode(self, z: Tensor) -> Tensor:
        """Return pixels (N, *shape) in [0, 1] for codes (N, latent)."""
        return self.pythae.decoder(z).reconstruction.reshape(len(z), *self.shape)

    def observation(self, z: Tensor) -> Distribution:
        """Return p(x | z) as in pythae's ``get_nll``."""
        pixels = self.decode(z)
        if self.is_binary:
            return Independent(Bernoulli(logits=pixels.logit(eps=1e-7), validate_args=False), len(self.shape))
        return Independent(Normal(pixels, torch.ones_like(pixels), validate_args=False), len(self.shape))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the pixels of the mean code, (N, *shape)."""
        return self.decode(self.posterior(x).mean)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Return the pixels of n codes from the prior, (n, *shape)."""
        return self.decode(noise.normal(n, len(self.zero)))


class PythaeIWAE(PythaeVAE):
    """The importance-weighted autoencoder of pythae."""

    @dataclass(frozen=True)
    class Config(PythaeVAE.Config):
        """Settings."""

        k: int = harness.setting(10, "samples from the posterior in the loss", minimum=1)

    def build(self, config: Any, **common: Any) -> VAE:
        """Return the model of pythae."""
        return IWAE(IWAEConfig(number_samples=config.k, **common))


class PythaeVAMP(PythaeVAE):
    """The VAE with a mixture of posteriors of learned pseudo-inputs as its prior (Tomczak and Welling, 2018)."""

    @dataclass(frozen=True)
    class Config(PythaeVAE.Config):
        """Settings."""

        components: int = harness.setting(50, "pseudo-inputs", minimum=1)

    def build(self, config: Any, **common: Any) -> VAE:
        """Return the model of pythae."""
        return VAMP(VAMPConfig(number_components=config.components, **common))

    def prior(self) -> Distribution:
        """Return p(z), a mixture of the posteriors of the pseudo-inputs with equal weights."""
        inputs = self.pythae.pseudo_inputs(self.pythae.idle_input.to(self.zero.device)).reshape(-1, *self.shape)
        weights = Categorical(logits=torch.zeros(len(inputs), device=self.zero.device), validate_args=False)
        return MixtureSameFamily(weights, self.posterior(inputs), validate_args=False)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Return the pixels of n codes from the prior, (n, *shape)."""
        of_each = self.prior().component_distribution.base_dist
        chosen = (noise.uniform(n) * len(of_each.loc)).long().clamp(max=len(of_each.loc) - 1)
        return self.decode(of_each.loc[chosen] + of_each.scale[chosen] * noise.normal(n, len(self.zero)))


class PythaeBetaTC(PythaeVAE):
    """The VAE that penalises the total correlation of its codes (Chen et al., 2018), by minibatch-weighted sampling."""

    @dataclass(frozen=True)
    class Config(PythaeVAE.Config):
        """Settings."""

        beta: float = harness.setting(6.0, "weight of the total correlation", minimum=0)

    def build(self, config: Any, **common: Any) -> VAE:
        """Return the model of pythae."""
        return BetaTCVAE(BetaTCVAEConfig(beta=config.beta, use_mss=False, **common))
