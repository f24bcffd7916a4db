"""The generative adversarial network with fully connected layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from harness import DataInfo, Noise, Objective, setting
from harness_gan.adversarial import Adversarial


class GAN(Adversarial):
    """A generator against a discriminator, with binary cross-entropy (Goodfellow et al., 2014).

    The generator is a hidden layer, then three blocks of linear, LeakyReLU and batch norm with growing width, then
    linear and tanh. The discriminator is twice linear and LeakyReLU, then linear and sigmoid (which is part of the
    loss). Each step updates the generator first, then the discriminator, each with its own Adam. The generator's loss
    is the non-saturating −log D(G(z)), or the saturating log(1 − D(G(z))). At equilibrium D = ½ and the
    discriminator's loss is log 4.

    Our choices: a hidden layer of linear and LeakyReLU without batch norm, slopes of 0.2, the widths, images scaled to
    [−1, 1], and Adam at 2e-4 with β₁ = 0.5 (Radford et al., 2016), since at 1e-3 and 0.9 the discriminator wins within
    an epoch.
    """

    @dataclass(frozen=True)
    class Config(Adversarial.Config):
        """Settings."""

        loss: Literal["non-saturating", "saturating"] = setting("non-saturating", "loss of the generator")

    config: Config

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)

    def objectives(self) -> list[Objective]:
        """Return the generator's objective, then the discriminator's."""
        return [
            Objective("generator", self.generator_loss, list(self.generator.parameters()), self.config),
            Objective(
                "discriminator",
                self.discriminator_loss,
                list(self.discriminator.parameters()),
                self.config,
                landmark=("equilibrium, −V = log 4", math.log(4)),
            ),
        ]

    def generator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the generator's loss, averaged over as many generated images as there are in ``x``."""
        logits = self.discriminator(self._generate(len(x), noise))
        return F.softplus(-logits).mean() if self.config.loss == "non-saturating" else -F.softplus(logits).mean()

    def discriminator_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −log D(x) − log(1 − D(G(z))), averaged over examples."""
        with torch.no_grad():
            generated = self._generate(len(x), noise)
        real = F.softplus(-self.discriminator(2 * x.flatten(1) - 1))
        return (real + F.softplus(self.discriminator(generated))).mean()
