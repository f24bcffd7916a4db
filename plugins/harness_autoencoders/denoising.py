"""Denoising autoencoders: other autoencoders, shown noisy examples and asked for the clean ones."""

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
    """Settings of the noise that training adds."""

    sigma: float = setting(20 / 255, "σ of the noise added to inputs in training, in units of the data", minimum=0)


class Denoises(Autoencoder):
    """Trains on x + N(0, σ² I), drawn anew for every batch and not clipped, with the clean x for its target."""

    config: Any

    def corrupt(self, x: Tensor, noise: Noise) -> Tensor:
        """Return ``x`` with noise."""
        return x + self.config.sigma * noise.normal(*x.shape)  # type: ignore[no-any-return]

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss against the clean examples, summed over values and averaged over examples."""
        return self.error(self.encode(self.corrupt(x, noise)), x)


class DenoisingAutoencoder(Denoises, MLPAutoencoder):
    """The fully connected autoencoder, trained to give clean examples from noisy ones (Vincent et al., 2008).

    That paper sets pixels to zero; the additive Gaussian noise is that of Vincent et al. (2010), here of 20 grey
    levels. ``reconstruct`` adds none: it takes its input as it is.
    """

    @dataclass(frozen=True)
    class Config(MLPAutoencoder.Config, CorruptionSettings):
        """Settings: those of ``mlp-ae``, and σ."""


class DenoisingCNNAutoencoder(Denoises, CNNAutoencoder):
    """The convolutional autoencoder, trained in the same way."""

    @dataclass(frozen=True)
    class Config(CNNAutoencoder.Config, CorruptionSettings):
        """Settings: those of ``cnn-ae``, and σ."""
