"""The base of the adversarial networks: the two networks, the prior, and a check for collapsed samples."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import AdamSettings, DataInfo, Diverged, Noise, NotApplicable, Split, setting

checked_samples = 1000


class Adversarial(nn.Module):
    """A generator of images from codes, and a discriminator of real and generated images.

    Both treat an image as a vector in [−1, 1]. By default they are fully connected. The generator is a hidden layer of
    linear and LeakyReLU, then blocks of linear, LeakyReLU and batch norm, then linear and tanh. The discriminator is
    layers of linear and LeakyReLU, then linear to one number. A subclass defines the losses, and may build other
    networks.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        learning_rate: float = setting(2e-4, "step size of Adam, for both networks", above=0)
        beta1: float = setting(0.5, "decay of Adam's first moment", minimum=0, below=1)
        latent_dim: int = setting(20, "size of the code", minimum=1)
        generator: tuple[int, ...] = setting(
            (128, 256, 512, 1024), "widths of the generator: its first hidden layer, then its blocks", minimum=1
        )
        discriminator: tuple[int, ...] = setting((512, 256), "widths of the discriminator", minimum=1)
        collapse_fraction: float = setting(
            0.05,
            "share of the data's variance below which the samples have collapsed and the fit has diverged",
            minimum=0,
            below=1,
        )

    # The checks train for a few steps only, so that samples hardly vary.
    check_settings: ClassVar = {"generator": (16, 32), "discriminator": (16,), "collapse_fraction": 0.0}

    zero: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        if info.support not in ("binary", "unit"):
            raise NotApplicable(f"it generates values in [0, 1], and the data is {info.support}")
        self.config = config
        self.shape = info.shape
        self.register_buffer("zero", torch.zeros(config.latent_dim))
        self.generator = self._build_generator(info)
        self.discriminator = self._build_discriminator(info)

    def _build_generator(self, info: DataInfo) -> nn.Sequential:
        """Return the network from codes ``(N, latent)`` to images ``(N, d)`` in [−1, 1]."""
        layers = nn.Sequential()
        widths = [self.config.latent_dim, *self.config.generator]
        for i, (a, b) in enumerate(pairwise(widths)):
            layers.extend([nn.Linear(a, b), nn.LeakyReLU(0.2)])
            if i > 0:
                layers.append(nn.BatchNorm1d(b))
        return layers.extend([nn.Linear(widths[-1], info.dim), nn.Tanh()])

    def _build_discriminator(self, info: DataInfo) -> nn.Sequential:
        """Return the network from images ``(N, d)`` in [−1, 1] to one number each, ``(N, 1)``."""
        layers = nn.Sequential()
        widths = [info.dim, *self.config.discriminator]
        for a, b in pairwise(widths):
            layers.extend([nn.Linear(a, b), nn.LeakyReLU(0.2)])
        return layers.append(nn.Linear(widths[-1], 1))

    def _generate(self, n: int, noise: Noise) -> Tensor:
        """Return ``n`` generated images on the discriminator's scale, ``(n, d)`` in [−1, 1].

        Raises:
            NotApplicable: batch norm is asked to train on one image.
        """
        if n == 1 and self.training and any(isinstance(each, nn.BatchNorm1d) for each in self.generator):
            raise NotApplicable("its batch norm needs at least two examples per step")
        return self.generator(noise.normal(n, len(self.zero)))  # type: ignore[no-any-return]

    def prior(self) -> Distribution:
        """N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of codes ``z``, ``(N, *shape)`` in [0, 1]."""
        return (self.generator(z).unflatten(1, self.shape) + 1) / 2  # type: ignore[no-any-return]

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the images of ``n`` codes from the prior, ``(n, *shape)`` in [0, 1]."""
        return self.decode(noise.normal(n, len(self.zero)))

    def calibrate(self, validation: Split, noise: Noise) -> None:
        """Compare the variance of 1,000 samples, averaged over pixels, with that of the validation images.

        This detects a generator that ignores the code and gives one image, or noise around one. It does not detect a
        generator of a few different images.

        Raises:
            Diverged: the samples are not finite, or their variance is below ``collapse_fraction`` of the images'.
        """
        fraction = self.config.collapse_fraction
        samples = self.sample(checked_samples, noise)
        if not bool(samples.isfinite().all()):
            raise Diverged("its samples are not finite")
        ours, theirs = (float(x.double().var(0).mean()) for x in (samples, validation.all(noise)))
        least = fraction * theirs
        if ours < least:
            raise Diverged(
                f"its samples have collapsed: their variance, averaged over pixels, is {ours:.2g}, less than "
                f"{least:.2g}, which is {fraction:g} of that of the validation images, {theirs:.2g}"
            )
