"""The deep autoencoder of fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from harness import AdamSettings, DataInfo, Noise, NotApplicable, setting

activations = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


class MLPAutoencoder(nn.Module):
    """An encoder of fully connected layers and the decoder that mirrors it (Hinton and Salakhutdinov, 2006).

    784–256–128–256–784 by default, sigmoid units throughout; the last hidden layer is the code. Trained from
    Xavier weights (Glorot and Bengio, 2010), or from a standard normal for comparison, on the cross-entropy or the
    squared error, summed over pixels. On data that leaves [0, 1] the output is linear and only ``mse`` applies.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        hidden: tuple[int, ...] = setting((256, 128), "widths of the encoder; the last is the code", minimum=1)
        activation: Literal["sigmoid", "relu", "tanh"] = setting("sigmoid", "of the hidden layers")
        loss: Literal["bce", "mse"] = setting("bce", "cross-entropy or squared error, in nats or squared units")
        initialisation: Literal["xavier", "normal"] = setting(
            "xavier", "Xavier-uniform weights and zero biases, or everything from N(0, 1)"
        )

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        bounded = info.support in ("binary", "unit")
        if config.loss == "bce" and not bounded:
            raise NotApplicable(f"a cross-entropy needs data in [0, 1], and this is {info.support}; use loss=mse")
        self.config = config
        self.shape = info.shape
        widths = [info.as_vector(), *config.hidden]
        activation = activations[config.activation]
        self.encoder = nn.Sequential()
        for a, b in pairwise(widths):
            self.encoder.extend([nn.Linear(a, b), activation()])
        self.decoder = nn.Sequential()
        for a, b in pairwise(reversed(widths)):
            self.decoder.extend([nn.Linear(a, b), activation()])
        self.decoder[-1] = nn.Identity()  # the output's own non-linearity is applied below
        self.output = nn.Sigmoid() if bounded else nn.Identity()
        self.apply(self._initialise)

    def _initialise(self, layer: nn.Module) -> None:
        if isinstance(layer, nn.Linear):
            if self.config.initialisation == "normal":
                nn.init.normal_(layer.weight)
                nn.init.normal_(layer.bias)
            else:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, ``(N, code)``."""
        return self.encoder(x.flatten(1))  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction from codes, ``(N, *shape)``."""
        return self.output(self.decoder(z)).unflatten(1, self.shape)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the chosen loss, summed over values and averaged over examples."""
        if self.config.loss == "bce":
            logits = self.decoder(self.encode(x))
            return F.binary_cross_entropy_with_logits(logits, x.flatten(1), reduction="sum") / len(x)
        return F.mse_loss(self.reconstruct(x), x, reduction="sum") / len(x)
