"""The variational autoencoder with fully connected layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from harness import DataInfo, setting
from harness_vae.variational import VariationalAutoencoder, VariationalSettings

activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class VAE(VariationalAutoencoder):
    """Maximises E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)) with prior N(0, I) (Kingma and Welling, 2014).

    The encoder is 784–500 with ReLU, then the mean (linear) and standard deviation (softplus) of a Gaussian posterior;
    the decoder is 20–500 with ReLU–784. The observation model is Bernoulli on binary data. On continuous data it is
    N(mean(z), variance · I) with one variance for all values. The variance is learned with the weights, or fixed. With
    ``validation`` it is learned, then set to the mean squared error on the validation split, which maximises the bound
    there.
    """

    @dataclass(frozen=True)
    class Config(VariationalSettings):
        """Settings."""

        hidden: tuple[int, ...] = setting((500,), "widths of the encoder; the decoder mirrors them", minimum=1)
        activation: Literal["relu", "tanh", "sigmoid"] = setting("relu", "activation of the hidden layers")
        output_bias: Literal["random", "data-mean"] = setting(
            "random", "initial bias of the output: torch's default, or the one that gives the mean image"
        )

    check_settings: ClassVar[Mapping[str, Any]] = {"hidden": (32,)}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        activation = activations[config.activation]
        widths = [info.as_vector(), *config.hidden]
        self.encoder = _layers(widths, activation)
        self.posterior_head = nn.Linear(widths[-1], 2 * config.latent_dim)  # means, then pre-softplus scales
        self.decoder = _layers([config.latent_dim, *reversed(config.hidden)], activation)
        self.output = nn.Linear(widths[1] if config.hidden else config.latent_dim, info.dim)
        if config.output_bias == "data-mean":
            self._start_at_mean(info.mean.flatten())

    def _start_at_mean(self, mean: Tensor) -> None:
        inner = mean.clamp(1e-3, 1 - 1e-3)
        nn.init.zeros_(self.output.bias)
        self.output.bias.data += inner.logit() if self.kind == "bernoulli" else mean

    def encoded(self, x: Tensor) -> Tensor:
        """Return means and pre-softplus standard deviations of q(z | x), ``(N, 2 latent)``."""
        return self.posterior_head(self.encoder(x.flatten(1)))  # type: ignore[no-any-return]

    def decoded(self, z: Tensor) -> Tensor:
        """Return logits or means of p(x | z), ``(N, *shape)``."""
        return self.output(self.decoder(z)).unflatten(-1, self.shape)  # type: ignore[no-any-return]


def _layers(widths: list[int], activation: type[nn.Module]) -> nn.Sequential:
    layers = nn.Sequential()
    for a, b in pairwise(widths):
        layers.extend([nn.Linear(a, b), activation()])
    return layers
