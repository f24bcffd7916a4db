"""The β-VAE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from harness import Noise, setting
from harness.toolkit import elbo_terms
from harness_vae.vae import VAE


class BetaVAE(VAE):
    """The VAE's network trained on −E_q[log p(x | z)] + β KL(q(z | x) ‖ p(z)) (Higgins et al., 2017).

    β > 1 lowers the rate and raises the distortion, β < 1 does the reverse, and β = 1 is the VAE. The ELBO is always
    measured with β = 1.
    """

    @dataclass(frozen=True)
    class Config(VAE.Config):
        """Settings: those of ``vae``, and β."""

        beta: float = setting(4.0, "weight of the KL divergence in the loss", minimum=0)

    loss_name: ClassVar[str] = "distortion + β · rate"

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return distortion + β · KL, averaged over examples, in nats."""
        terms = elbo_terms(self, x, noise)
        return (self.config.beta * terms.kl - terms.reconstruction).mean()
