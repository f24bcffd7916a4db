"""The convolutional autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from harness import DataInfo, setting
from harness.toolkit import ConvolutionalDecoder, ConvolutionalEncoder
from harness_autoencoders.autoencoder import Autoencoder, AutoencoderSettings


class CNNAutoencoder(Autoencoder):
    """Convolutions that halve the image, one linear layer to the code, and the way back (Masci et al., 2011).

    28 × 28 – 8 × 14 × 14 – 16 × 7 × 7 – code, ReLU between, the code linear. Strides take the place of that paper's
    max-pooling, and training is end to end. Nearly all parameters are in the two linear layers, and still fewer
    than half of those of the fully connected autoencoder with the same code. torch's initialisation.
    """

    @dataclass(frozen=True)
    class Config(AutoencoderSettings):
        """Settings."""

        latent_dim: int = setting(128, "size of the code", minimum=1)
        channels: tuple[int, ...] = setting((8, 16), "of the encoder's convolutions, which halve each side", minimum=1)

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        shape = info.as_image()
        self.encoder = ConvolutionalEncoder(shape, config.channels, config.latent_dim)
        self.decoder = ConvolutionalDecoder(config.latent_dim, config.channels, shape)
