"""The generative adversarial network of fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import AdamSettings, DataInfo, Noise, NotApplicable, Objective, setting


class GAN(nn.Module):
    """A generator against a discriminator, on binary cross-entropy (Goodfellow et al., 2014).

    The generator is three blocks of linear, LeakyReLU, batch norm, of growing width, then linear and tanh; the
    discriminator is linear, LeakyReLU twice, then linear and sigmoid (which is folded into the loss). Each step
    moves the generator first, then the discriminator, each with its own Adam. The generator's loss is the
    non-saturating −log D(G(z)), or the saturating log(1 − D(G(z))). At equilibrium D = ½ and the discriminator's
    loss is log 4.

    Where the source leaves a choice open: slopes 0.2, widths as below, images scaled to [−1, 1], and Adam at 2e-4
    with β₁ = 0.5 (Radford et al., 2016), since at 1e-3 and 0.9 the discriminator wins within an epoch.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        learning_rate: float = setting(2e-4, "step size of Adam, for both networks", above=0)
        beta1: float = setting(0.5, "decay of Adam's first moment", minimum=0, below=1)
        latent_dim: int = setting(20, "size of the code", minimum=1)
        generator: tuple[int, ...] = setting((256, 512, 1024), "widths of the generator's blocks", minimum=1)
        discriminator: tuple[int, ...] = setting((512, 256), "widths of the discriminator", minimum=1)
        loss: Literal["non-saturating", "saturating"] = setting("non-saturating", "of the generator")

    zero: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        if info.support not in ("binary", "unit"):
            raise NotApplicable(f"its output is bounded, and the data is {info.support}")
        self.config = config
        self.shape = info.shape
        self.register_buffer("zero", torch.zeros(config.latent_dim))
        generator = nn.Sequential()
        widths = [config.latent_dim, *config.generator]
        for a, b in pairwise(widths):
            generator.extend([nn.Linear(a, b), nn.LeakyReLU(0.2), nn.BatchNorm1d(b)])
        self.generator = generator.extend([nn.Linear(widths[-1], info.dim), nn.Tanh()])
        discriminator = nn.Sequential()
        widths = [info.dim, *config.discriminator]
        for a, b in pairwise(widths):
            discriminator.extend([nn.Linear(a, b), nn.LeakyReLU(0.2)])
        self.discriminator = discriminator.append(nn.Linear(widths[-1], 1))

    def objectives(self) -> list[Objective]:
        """Return the generator's objective, then the discriminator's."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        losses = {"generator": self.generator_loss, "discriminator": self.discriminator_loss}
        return [
            Objective(name, losses[name], list(network.parameters()), self.config) for name, network in networks.items()
        ]

    def generator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """How well the discriminator tells generated images from real ones, for as many as there are in ``x``."""
        logits = self.discriminator(self._generate(len(x), noise))
        return F.softplus(-logits).mean() if self.config.loss == "non-saturating" else -F.softplus(logits).mean()

    def discriminator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """−log D(x) − log(1 − D(G(z))), averaged over examples."""
        with torch.no_grad():
            generated = self._generate(len(x), noise)
        real = F.softplus(-self.discriminator(2 * x.flatten(1) - 1))
        return (real + F.softplus(self.discriminator(generated))).mean()

    def _generate(self, n: int, noise: Noise) -> Tensor:
        """Return ``n`` generated images as the discriminator sees them, ``(n, d)`` in [−1, 1]."""
        return self.generator(noise.normal(n, len(self.zero)))  # type: ignore[no-any-return]

    def prior(self) -> Distribution:
        """N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the images of codes ``z``, ``(N, *shape)`` in [0, 1]."""
        return (self.generator(z).unflatten(1, self.shape) + 1) / 2  # type: ignore[no-any-return]

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the images of ``n`` codes from the prior."""
        return self.decode(noise.normal(n, len(self.zero)))
