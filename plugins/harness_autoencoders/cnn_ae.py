"""The convolutional autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from harness import DataInfo, setting
from harness.toolkit import ConvolutionalDecoder, ConvolutionalEncoder
from harness_autoencoders.autoencoder import Autoencoder, AutoencoderSettings


class CNNAutoencoder(Autoencoder):
    """Convolutions that halve the image, a linear layer to the code, and a mirrored decoder (Masci et al., 2011).

    28 × 28 – 8 × 14 × 14 – 16 × 7 × 7 – code, with ReLU between layers and a linear code. Unlike in that paper, strides
    replace max-pooling and training is end to end. Nearly all parameters are in the two linear layers. It has fewer
    than half of the parameters of the fully connected autoencoder with the same code size. Weights start from torch's
    default initialisation.
    """

    @dataclass(frozen=True)
    class Config(AutoencoderSettings):
        """Settings."""

        latent_dim: int = setting(128, "size of the code", minimum=1)
        channels: tuple[int, ...] = setting(
            (8, 16), "channels of the encoder's convolutions; each halves the sides", minimum=1
        )

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        shape = info.as_image()
        self.encoder = ConvolutionalEncoder(shape, config.channels, config.latent_dim)
        self.decoder = ConvolutionalDecoder(config.latent_dim, config.channels, shape)
