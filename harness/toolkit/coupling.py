"""Affine coupling layers: a bijection of vectors whose Jacobian is triangular."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

_largest_log_scale = 3


class CouplingLayers(nn.ModuleList):
    """Maps vectors to vectors and back, with the log-determinant of the Jacobian (Dinh et al., 2017).

    Each layer maps one half h of a vector to h · exp(s) + t, with s and t computed from the other half; the halves swap
    roles from layer to layer. s and t come from a network of fully connected ReLU layers whose last layer starts at
    zero, so the whole starts as the identity; a tanh keeps ``|s|`` below 3.

    Args:
        halves: sizes of the two halves, each at least 1.
        layers: number of layers.
        hidden: widths of the network in a layer.
    """

    def __init__(self, halves: tuple[int, int], layers: int, hidden: Sequence[int]) -> None:
        super().__init__(_network(halves[i % 2], halves[(i + 1) % 2], hidden) for i in range(layers))
        self.sizes = list(halves)

    def transform(self, y: Tensor, log_determinant: Tensor) -> tuple[Tensor, Tensor]:
        """Map vectors ``(N, d)``; also return the log-determinant, ``(N,)``, added to that of earlier steps."""
        halves = list(y.split(self.sizes, dim=1))
        for i, network in enumerate(self):
            given, moved = i % 2, (i + 1) % 2
            s, t = _coefficients(network, halves[given])
            halves[moved] = halves[moved] * s.exp() + t
            log_determinant = log_determinant + s.sum(1)
        return torch.cat(halves, dim=1), log_determinant

    def invert(self, z: Tensor) -> Tensor:
        """Undo ``transform``: map vectors ``(N, d)`` back."""
        halves = list(z.split(self.sizes, dim=1))
        for i in reversed(range(len(self))):
            given, moved = i % 2, (i + 1) % 2
            s, t = _coefficients(self[i], halves[given])
            halves[moved] = (halves[moved] - t) * (-s).exp()
        return torch.cat(halves, dim=1)


def _network(given: int, moved: int, hidden: Sequence[int]) -> nn.Sequential:
    """Return the network from one half to the s and t of the other."""
    network = nn.Sequential()
    widths = [given, *hidden]
    for a, b in pairwise(widths):
        network.extend([nn.Linear(a, b), nn.ReLU()])
    last = nn.Linear(widths[-1], 2 * moved)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return network.append(last)


def _coefficients(network: nn.Module, half: Tensor) -> tuple[Tensor, Tensor]:
    """Return the s and t that a layer computes from one half."""
    raw, t = network(half).chunk(2, dim=1)
    return _largest_log_scale * (raw / _largest_log_scale).tanh(), t
