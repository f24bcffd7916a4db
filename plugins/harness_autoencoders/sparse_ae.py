"""The sparse autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from harness import Noise, setting
from harness_autoencoders.mlp_ae import MLPAutoencoder


class SparseAutoencoder(MLPAutoencoder):
    """The fully connected autoencoder with the loss + λ ‖f(x)‖₁, where f(x) is the code.

    Ng (2011) with the L1 norm in place of the KL divergence. 784–512–784 by default: a wide code of ReLU units, which
    the penalty can set to exactly zero. The loss is summed over pixels and the norm over units, and both are averaged
    over examples, so λ is in nats (or squared units) per unit of the code, whatever the image size. The decoder's
    weights are not bounded, so the penalty can also shrink a code without making it sparse.
    """

    @dataclass(frozen=True)
    class Config(MLPAutoencoder.Config):
        """Settings."""

        hidden: tuple[int, ...] = setting((512,), "widths of the encoder; the last is the code", minimum=1)
        activation: Literal["sigmoid", "relu", "tanh"] = setting("relu", "activation of the hidden layers and the code")
        l1: float = setting(0.1, "λ, weight of ‖code‖₁ relative to the loss summed over values", minimum=0)

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss + λ ‖code‖₁, averaged over examples."""
        z = self.encode(x)
        return self.error(z, x) + self.config.l1 * z.abs().sum(1).mean()
