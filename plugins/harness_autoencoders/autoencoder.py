"""What the autoencoders have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from harness import AdamSettings, DataInfo, Noise, NotApplicable, setting


@dataclass(frozen=True)
class AutoencoderSettings(AdamSettings):
    """Settings of every autoencoder."""

    loss: Literal["bce", "mse"] = setting("bce", "cross-entropy or squared error, in nats or squared units")


class Autoencoder(nn.Module):
    """Gives examples back from codes, at the least cross-entropy or squared error, summed over values.

    On data that leaves [0, 1] the output is linear and only ``mse`` applies; otherwise it goes through a sigmoid.
    A subclass sets ``encoder``, from examples to codes, and ``decoder``, from codes to what is before the sigmoid.
    """

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, info: DataInfo, config: AutoencoderSettings) -> None:
        super().__init__()
        info.as_vector()
        bounded = info.support in ("binary", "unit")
        if config.loss == "bce" and not bounded:
            raise NotApplicable(f"a cross-entropy needs data in [0, 1], and this is {info.support}; use loss=mse")
        self.config = config
        self.shape = info.shape
        self.output = nn.Sigmoid() if bounded else nn.Identity()

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, ``(N, code)``."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples of codes ``z``, ``(N, *shape)``."""
        return self.output(self._decoded(z))  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss, summed over values and averaged over examples."""
        return self.error(self.encode(x), x)

    def error(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the chosen loss of what codes ``z`` give for ``x``, summed over values and averaged over examples."""
        if self.config.loss == "bce":
            return F.binary_cross_entropy_with_logits(self._decoded(z), x, reduction="sum") / len(x)
        return F.mse_loss(self.decode(z), x, reduction="sum") / len(x)

    def _decoded(self, z: Tensor) -> Tensor:
        """Return what is before the output's non-linearity, ``(N, *shape)``."""
        return self.decoder(z).reshape(len(z), *self.shape)  # type: ignore[no-any-return]
