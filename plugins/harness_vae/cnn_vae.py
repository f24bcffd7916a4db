"""The convolutional variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import DataInfo, setting
from harness.toolkit import ConvolutionalDecoder, ConvolutionalEncoder
from harness_vae.variational import VariationalAutoencoder, VariationalSettings


class CNNVAE(VariationalAutoencoder):
    """The VAE with a convolutional encoder that halves the image, and a decoder of transposed convolutions.

    28 × 28 – 32 × 14 × 14 – 64 × 7 × 7 with 4 × 4 kernels and ReLU, then the mean (linear) and standard deviation
    (softplus) of the posterior. The decoder mirrors the encoder. The sizes are our choice.
    """

    @dataclass(frozen=True)
    class Config(VariationalSettings):
        """Settings."""

        channels: tuple[int, ...] = setting(
            (32, 64), "channels of the encoder's convolutions; each halves the sides", minimum=1
        )

    check_settings: ClassVar = {"channels": (4, 6)}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        shape = info.as_image()
        self.encoder = ConvolutionalEncoder(shape, config.channels, 2 * config.latent_dim)
        self.decoder = ConvolutionalDecoder(config.latent_dim, config.channels, shape)

    def encoded(self, x: Tensor) -> Tensor:
        """Return means and pre-softplus standard deviations of q(z | x), ``(N, 2 latent)``."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decoded(self, z: Tensor) -> Tensor:
        """Return logits or means of p(x | z), ``(N, *shape)``."""
        return self.decoder(z)  # type: ignore[no-any-return]
