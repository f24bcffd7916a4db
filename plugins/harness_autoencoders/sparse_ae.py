"""The sparse autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from harness import Noise, setting
from harness_autoencoders.mlp_ae import MLPAutoencoder


class SparseAutoencoder(MLPAutoencoder):
    """The fully connected autoencoder on its loss + λ ‖f(x)‖₁, f(x) the code (Ng, 2011, with the L1 norm for his KL).

    784–512–784 by default: one wide code of ReLU units, which the penalty can bring to exactly zero. The loss is summed
    over pixels and the norm over units, both averaged over examples, so that λ is in nats (or squared units) per unit
    of code, whatever the image's size. Nothing bounds the decoder's weights: a code may also become small by being
    scaled down, which λ alone does not tell from being sparse.
    """

    @dataclass(frozen=True)
    class Config(MLPAutoencoder.Config):
        """Settings."""

        hidden: tuple[int, ...] = setting((512,), "widths of the encoder; the last is the code", minimum=1)
        activation: Literal["sigmoid", "relu", "tanh"] = setting("relu", "of the hidden layers and the code")
        l1: float = setting(0.1, "λ, the weight of ‖code‖₁ beside the loss summed over values", minimum=0)

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss + λ ‖code‖₁, averaged over examples."""
        z = self.encode(x)
        return self.error(z, x) + self.config.l1 * z.abs().sum(1).mean()
