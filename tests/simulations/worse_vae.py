"""A plugin with the VAE whose loss has faults, as a change of its code could plant them."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from harness import ModelSpec, Noise, hookimpl, setting
from harness.toolkit import elbo_terms
from harness_vae.vae import VAE


class WorseVAE(VAE):
    """The VAE; each setting other than those of ``vae`` plants a fault in its loss, or none at its default."""

    @dataclass(frozen=True)
    class Config(VAE.Config):
        """Settings: those of ``vae``, and the faults."""

        kl_weight: float = setting(1.0, "weight of the KL divergence", minimum=0)
        smoothing: float = setting(0.0, "share of a pixel that is replaced by 1/2", minimum=0, maximum=1)
        factor: float = setting(1.0, "of the loss, which is divided by it again: another rounding", above=0)

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the faulty loss, averaged over examples, in nats."""
        terms = elbo_terms(self, x, noise)
        reconstruction = terms.reconstruction
        if self.config.smoothing:
            target = (1 - self.config.smoothing) * x + self.config.smoothing / 2
            logits = terms.observation.base_dist.logits  # type: ignore[attr-defined]
            by_pixel = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
            reconstruction = -by_pixel.flatten(1).sum(1)
        loss = (self.config.kl_weight * terms.kl - reconstruction).mean()
        return loss * self.config.factor / self.config.factor


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the model."""
    return [ModelSpec("worse-vae", WorseVAE, "the VAE with a faulty loss", "1")]
