"""The deep autoencoder with fully connected layers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from harness import DataInfo, setting
from harness_autoencoders.autoencoder import Autoencoder, AutoencoderSettings

activations = {"sigmoid": nn.Sigmoid, "relu": nn.ReLU, "tanh": nn.Tanh}


class MLPAutoencoder(Autoencoder):
    """An encoder of fully connected layers and the mirrored decoder (Hinton and Salakhutdinov, 2006).

    784–256–128–256–784 by default, with sigmoid units throughout; the last layer of the encoder is the code. Weights
    start from Xavier's initialisation (Glorot and Bengio, 2010) or, for comparison, from a standard normal. The loss is
    the cross-entropy or the squared error, summed over pixels. On data outside [0, 1] the output is linear and only
    ``mse`` applies.
    """

    @dataclass(frozen=True)
    class Config(AutoencoderSettings):
        """Settings."""

        hidden: tuple[int, ...] = setting((256, 128), "widths of the encoder; the last is the code", minimum=1)
        activation: Literal["sigmoid", "relu", "tanh"] = setting("sigmoid", "activation of the hidden layers")
        initialisation: Literal["xavier", "normal"] = setting(
            "xavier", "Xavier-uniform weights and zero biases, or weights and biases from N(0, 1)"
        )

    config: Config

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        widths = [info.as_vector(), *config.hidden]
        activation = activations[config.activation]
        self.encoder = nn.Sequential()
        for a, b in pairwise(widths):
            self.encoder.extend([nn.Linear(a, b), activation()])
        self.decoder = nn.Sequential()
        for a, b in pairwise(reversed(widths)):
            self.decoder.extend([nn.Linear(a, b), activation()])
        self.decoder[-1] = nn.Identity()  # followed by the output's own activation
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
        return super().encode(x.flatten(1))
