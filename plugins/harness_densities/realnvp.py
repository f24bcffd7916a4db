"""The normalizing flow of affine coupling layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from harness import AdamSettings, DataInfo, Noise, NotApplicable, setting
from harness.toolkit import CouplingLayers


class RealNVP(nn.Module):
    """A bijection from data to N(0, I) with a triangular Jacobian (Dinh, Sohl-Dickstein and Bengio, 2017).

    The values are split like the squares of a checkerboard (alternately, for a vector). Each coupling layer maps one
    half h to h · exp(s) + t, with s and t computed from the other half; the halves swap roles from layer to layer. Data
    in [0, 1] is first mapped to logit(α + (1 − 2α) x), as in the authors' code. The density extends slightly beyond
    [0, 1], and samples are not clipped. The loss is −log p(x), in nats.

    Our choices: s and t come from fully connected ReLU layers, so there is a single scale and data may have any shape;
    their last layer starts at zero, so the flow starts as the identity; a tanh keeps |s| below 3; there is no batch
    norm.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        learning_rate: float = setting(3e-4, "step size of Adam", above=0)
        layers: int = setting(6, "number of coupling layers", minimum=2)
        hidden: tuple[int, ...] = setting((256, 256), "widths of the network in a coupling layer", minimum=1)
        alpha: float = setting(
            0.05, "α, margin that keeps data in [0, 1] off the ends of the logit", above=0, below=0.5
        )

    order: Tensor

    check_settings: ClassVar = {"hidden": (32,)}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        if info.as_vector() < 2:
            raise NotApplicable("it needs at least two values per example, to transform one given the other")
        if info.is_discrete:
            what = "binary pixels" if info.support == "binary" else f"discrete values ({info.scale})"
            raise NotApplicable(f"its density of {what} would grow without bound; use a dequantized data set")
        self.config = config
        self.shape = info.shape
        self.bounded = info.support == "unit"
        places = torch.cartesian_prod(*(torch.arange(n) for n in info.shape)).view(info.dim, -1)
        black = places.sum(1) % 2 == 0
        halves = int(black.sum()), int((~black).sum())
        self.register_buffer("order", torch.cat([black.nonzero(), (~black).nonzero()]).flatten(), persistent=False)
        self.couplings = CouplingLayers(halves, config.layers, config.hidden)

    def transform(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map data to the base, ``(N, d)``; also return the log-determinant of the Jacobian, ``(N,)``."""
        y = x.flatten(1)
        log_determinant = torch.zeros_like(y[:, 0])
        if self.bounded:
            slope = 1 - 2 * self.config.alpha
            inner = self.config.alpha + slope * y
            y = inner.logit()
            log_determinant = (math.log(slope) - inner.log() - (1 - inner).log()).sum(1)
        return self.couplings.transform(y[:, self.order], log_determinant)

    def invert(self, z: Tensor) -> Tensor:
        """Map the base ``(N, d)`` to data ``(N, *shape)``."""
        y = self.couplings.invert(z)[:, self.order.argsort()]
        if self.bounded:
            y = (y.sigmoid() - self.config.alpha) / (1 - 2 * self.config.alpha)
        return y.unflatten(1, self.shape)  # type: ignore[no-any-return]

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log p(x) in nats, ``(N,)``."""
        z, log_determinant = self.transform(x)
        return log_determinant - 0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −log p(x), averaged over examples, in nats."""
        return -self.log_prob(x).mean()

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Map ``n`` draws from N(0, I) to data."""
        return self.invert(noise.normal(n, len(self.order)))
