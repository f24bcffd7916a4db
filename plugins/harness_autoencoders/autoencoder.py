"""The base of the autoencoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from harness import AdamSettings, DataInfo, Noise, NotApplicable, setting


@dataclass(frozen=True)
class AutoencoderSettings(AdamSettings):
    """Settings of every autoencoder."""

    loss: Literal["bce", "mse"] = setting("bce", "cross-entropy in nats, or squared error in squared units")


class Autoencoder(nn.Module):
    """Reconstructs examples from codes by minimising the cross-entropy or the squared error, summed over values.

    On data in [0, 1] the output is a sigmoid; on other data it is linear, and only ``mse`` applies. A subclass sets
    ``encoder``, from examples to codes, and ``decoder``, from codes to the input of the sigmoid.
    """

    encoder: nn.Module
    decoder: nn.Module

    def __init__(self, info: DataInfo, config: AutoencoderSettings) -> None:
        super().__init__()
        info.as_vector()
        bounded = info.support in ("binary", "unit")
        if config.loss == "bce" and not bounded:
            raise NotApplicable(f"loss=bce needs data in [0, 1], and this data is {info.support}; use loss=mse")
        self.config = config
        self.shape = info.shape
        self.output = nn.Sigmoid() if bounded else nn.Identity()

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, ``(N, code)``."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        """Return the examples decoded from codes ``z``, ``(N, *shape)``."""
        return self.output(self._preactivation(z))  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss, summed over values and averaged over examples."""
        return self.error(self.encode(x), x)

    def error(self, z: Tensor, x: Tensor) -> Tensor:
        """Return the loss of decoding ``z`` ``(N, code)`` to ``x``, summed over values and averaged over examples."""
        if self.config.loss == "bce":
            return F.binary_cross_entropy_with_logits(self._preactivation(z), x, reduction="sum") / len(x)
        return F.mse_loss(self.decode(z), x, reduction="sum") / len(x)

    def _preactivation(self, z: Tensor) -> Tensor:
        """Return the input of the output's activation, ``(N, *shape)``."""
        return self.decoder(z).reshape(len(z), *self.shape)  # type: ignore[no-any-return]
