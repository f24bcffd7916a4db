"""Denoising autoencoders: other autoencoders, shown noisy examples and asked for the clean ones."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from harness import AdamSettings, Noise, setting
from harness_autoencoders.cnn_ae import CNNAutoencoder
from harness_autoencoders.mlp_ae import MLPAutoencoder


@dataclass(frozen=True)
class Corruption(AdamSettings):
    """Settings of the noise that training adds: x + N(0, σ² I), drawn anew for every batch and not clipped."""

    sigma: float = setting(20 / 255, "σ of the noise added to inputs in training, in units of the data", minimum=0)

    def of(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the corrupted examples."""
        return x + self.sigma * noise.normal(*x.shape)


class DenoisingAutoencoder(MLPAutoencoder):
    """The fully connected autoencoder, trained to give clean examples from noisy ones (Vincent et al., 2008).

    That paper sets pixels to zero; the additive Gaussian noise is that of Vincent et al. (2010), here of 20 grey
    levels. ``reconstruct`` adds none: it takes its input as it is.
    """

    @dataclass(frozen=True)
    class Config(MLPAutoencoder.Config, Corruption):
        """Settings: those of ``mlp-ae``, and σ."""

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss against the clean examples, summed over values and averaged over examples."""
        return self.error(self.encode(self.config.of(x, noise)), x)


class DenoisingCNNAutoencoder(CNNAutoencoder):
    """The convolutional autoencoder, trained in the same way."""

    @dataclass(frozen=True)
    class Config(CNNAutoencoder.Config, Corruption):
        """Settings: those of ``cnn-ae``, and σ."""

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss against the clean examples, summed over values and averaged over examples."""
        return self.error(self.encode(self.config.of(x, noise)), x)
