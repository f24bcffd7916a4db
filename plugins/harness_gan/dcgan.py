"""The generative adversarial network with convolutional layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import nn

from harness import DataInfo, setting
from harness.toolkit import halved_sides
from harness_gan.gan import GAN


class DCGAN(GAN):
    """The convolutional adversarial network (Radford, Metz and Chintala, 2016), with the losses of ``gan``.

    The generator projects the code to a small image with many channels, followed by batch norm and ReLU. Transposed
    4 × 4 convolutions of stride 2 double its sides, each but the last followed by batch norm and ReLU; tanh is last.
    The discriminator halves the sides by 4 × 4 convolutions of stride 2, each followed by batch norm, but for the
    first, and LeakyReLU of slope 0.2. Weights are drawn from N(0, 0.02²), those of batch norm from N(1, 0.02²). Adam
    runs at 2e-4 with β₁ = 0.5. The kernel size is that of the authors' code.

    Our choices: halving an odd side drops its last row or column, which doubling restores; the prior is N(0, I)
    instead of uniform; and there are two halvings with 64 and 128 channels for 28 × 28, where the paper has four with
    up to 1024 channels for 64 × 64.
    """

    @dataclass(frozen=True)
    class Config(GAN.Config):
        """Settings."""

        latent_dim: int = setting(100, "size of the code", minimum=1)
        generator: tuple[int, ...] = setting((128, 64), "channels before each doubling of the generator", minimum=1)
        discriminator: tuple[int, ...] = setting((64, 128), "channels after each halving", minimum=1)

    config: Config

    check_settings: ClassVar = {"generator": (8, 4), "discriminator": (4, 8), "collapse_fraction": 0.0}

    def __init__(self, info: DataInfo, config: Config) -> None:
        info.as_image()
        super().__init__(info, config)
        self.apply(_initialise)

    def _build_generator(self, info: DataInfo) -> nn.Sequential:
        """Return the network from codes ``(N, latent)`` to images ``(N, d)`` in [−1, 1]."""
        widths = [*self.config.generator, info.as_image()[0]]
        sizes = halved_sides(info.as_image(), len(self.config.generator))[::-1]  # the smallest first
        height, width = sizes[0]
        layers = nn.Sequential(
            nn.Linear(self.config.latent_dim, widths[0] * height * width, bias=False),
            nn.Unflatten(1, (widths[0], height, width)),
        )
        for i, (a, b) in enumerate(pairwise(widths), 1):
            odd = (sizes[i][0] % 2, sizes[i][1] % 2)
            last = i == len(self.config.generator)
            layers.extend([nn.BatchNorm2d(a), nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1, odd, bias=last)])
        return layers.extend([nn.Tanh(), nn.Flatten()])

    def _build_discriminator(self, info: DataInfo) -> nn.Sequential:
        """Return the network from images ``(N, d)`` in [−1, 1] to one logit each, ``(N, 1)``."""
        widths = [info.as_image()[0], *self.config.discriminator]
        layers = nn.Sequential(nn.Unflatten(1, info.shape))
        for i, (a, b) in enumerate(pairwise(widths)):
            layers.append(nn.Conv2d(a, b, 4, 2, 1, bias=i == 0))
            if i > 0:
                layers.append(nn.BatchNorm2d(b))
            layers.append(nn.LeakyReLU(0.2))
        height, width = halved_sides(info.as_image(), len(self.config.discriminator))[-1]
        return layers.extend([nn.Flatten(), nn.Linear(widths[-1] * height * width, 1)])


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0, 0.02)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1, 0.02)
