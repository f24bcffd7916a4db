"""Denoising autoencoders: autoencoders trained to reconstruct clean examples from noisy ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from harness import AdamSettings, Noise, setting
from harness_autoencoders.autoencoder import Autoencoder
from harness_autoencoders.cnn_ae import CNNAutoencoder
from harness_autoencoders.mlp_ae import MLPAutoencoder


@dataclass(frozen=True)
class CorruptionSettings(AdamSettings):
    """Settings of the noise added in training."""

    sigma: float = setting(20 / 255, "σ of the noise added to training inputs, in units of the data", minimum=0)


class Denoises(Autoencoder):
    """Trains on x + N(0, σ² I) with x as the target; the noise is redrawn for every batch and not clipped."""

    config: Any

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        """Return ``x`` plus noise."""
        return x + self.config.sigma * noise.normal(*x.shape)  # type: ignore[no-any-return]

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss for the clean examples, summed over values and averaged over examples."""
        return self.error(self.encode(self.corrupt(x, noise)), x)


class DenoisingAutoencoder(Denoises, MLPAutoencoder):
    """The fully connected autoencoder, trained to reconstruct clean examples from noisy ones (Vincent et al., 2008).

    That paper sets pixels to zero. The additive Gaussian noise is from Vincent et al. (2010), here with a standard
    deviation of 20 grey levels. ``reconstruct`` adds no noise.
    """

    @dataclass(frozen=True)
    class Config(MLPAutoencoder.Config, CorruptionSettings):
        """Settings: those of ``mlp-ae``, and σ."""


class DenoisingCNNAutoencoder(Denoises, CNNAutoencoder):
    """The convolutional autoencoder, trained like ``denoising-ae``."""

    @dataclass(frozen=True)
    class Config(CNNAutoencoder.Config, CorruptionSettings):
        """Settings: those of ``cnn-ae``, and σ."""
