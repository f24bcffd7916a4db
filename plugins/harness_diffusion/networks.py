"""Networks from a noisy example and a time to a tensor of the same shape: a U-Net for images, otherwise an MLP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import AdamSettings, DataInfo, setting


@dataclass(frozen=True)
class NetworkSettings(AdamSettings):
    """Settings of the network and of its training."""

    schedule: Literal["constant", "cosine", "staged"] = setting("cosine", "learning rate over the budget")
    channels: tuple[int, ...] = setting(
        (32, 64), "channels of the U-Net from fine to coarse; each entry after the first halves the grid", minimum=1
    )
    patch: int = setting(2, "side in pixels of the blocks that the U-Net first folds into channels", minimum=1)
    hidden: tuple[int, ...] = setting((256, 256, 256), "widths of the MLP, for examples that are not images", minimum=1)


def network_for(info: DataInfo, settings: NetworkSettings) -> UNet | MLP:
    """Return the network for examples of this shape.

    Raises:
        NotApplicable: the examples are sets of points.
    """
    dim = info.as_vector()
    if len(info.shape) == 3:
        return UNet(info.shape[0], settings.channels, settings.patch)
    return MLP(dim, settings.hidden)


class UNet(nn.Module):
    """A small U-Net after Ho, Jain and Abbeel (2020).

    It has one residual block per resolution on the way down and on the way up, and attention at the coarsest
    resolution. Images are folded by ``patch`` (space to depth) before the first convolution and unfolded after the
    last, which saves most of the work. Sides that are not multiples of the total reduction are padded with zeros, and
    the result is cropped.
    """

    def __init__(self, channels: int, widths: Sequence[int], patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.multiple = patch * 2 ** (len(widths) - 1)
        embedding = 4 * widths[0]
        self.time = TimeEmbedding(embedding)
        self.first = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        ins = [widths[0], *widths[:-1]]
        self.down = nn.ModuleList(ResidualBlock(a, b, embedding) for a, b in zip(ins, widths, strict=True))
        self.attention = Attention(widths[-1])
        self.middle = ResidualBlock(widths[-1], widths[-1], embedding)
        self.up = nn.ModuleList(
            ResidualBlock(a + b, b, embedding) for a, b in zip([*widths[1:], widths[-1]], widths, strict=True)
        )
        self.norm = norm(widths[0])
        self.last = zeroed(nn.Conv2d(widths[0], channels * patch**2, 3, padding=1))
        self.to(memory_format=torch.channels_last)  # the faster format; convolutions follow that of their weights

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the output for images ``x`` ``(B, C, H, W)`` at times ``t`` ``(B,)`` in [0, 1], of the shape of x."""
        height, width = x.shape[-2:]
        time = self.time(t)
        h = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        h = self.first(F.pixel_unshuffle(h, self.patch))
        skips = []
        for level, block in enumerate(self.down):
            h = block(F.avg_pool2d(h, 2) if level else h, time)
            skips.append(h)
        h = self.middle(self.attention(h), time)
        for level, block in reversed(list(enumerate(self.up))):
            h = block(torch.cat([h, skips[level]], dim=1), time)
            h = F.interpolate(h, scale_factor=2.0) if level else h
        h = F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)
        return h[..., :height, :width]


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut; the time scales and shifts the activations between them."""

    def __init__(self, ins: int, outs: int, embedding: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(ins), nn.Conv2d(ins, outs, 3, padding=1)
        self.time = nn.Linear(embedding, 2 * outs)
        self.norm2, self.conv2 = norm(outs), zeroed(nn.Conv2d(outs, outs, 3, padding=1))
        self.shortcut = nn.Conv2d(ins, outs, 1) if ins != outs else nn.Identity()

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Return ``(B, outs, H, W)`` from ``x`` ``(B, ins, H, W)`` and the embedded times ``(B, embedding)``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        h = self.conv2(F.silu(self.norm2(h) * (1 + scale) + shift))
        return h + self.shortcut(x)  # type: ignore[no-any-return]


class Attention(nn.Module):
    """Self-attention with one head over all positions of a grid, with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.queries_keys_values = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zeroed(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` from ``x`` of that shape."""
        q, k, v = self.queries_keys_values(self.norm(x)).flatten(2).chunk(3, dim=1)  # (B, C, HW)
        weights = (q.transpose(1, 2) @ k / math.sqrt(q.shape[1])).softmax(2)  # (B, HW, HW), each row sums to 1
        return x + self.out((v @ weights.transpose(1, 2)).view_as(x))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Fully connected SiLU layers over the values of an example and the embedded time."""

    def __init__(self, dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.time = TimeEmbedding(hidden[0])
        self.layers = nn.Sequential()
        for a, b in pairwise([dim + hidden[0], *hidden]):
            self.layers.extend([nn.Linear(a, b), nn.SiLU()])
        self.layers.append(nn.Linear(hidden[-1], dim))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the output for examples ``x`` ``(B, *shape)`` at times ``t`` ``(B,)`` in [0, 1], of the shape of x."""
        return self.layers(torch.cat([x.flatten(1), self.time(t)], dim=1)).view_as(x)  # type: ignore[no-any-return]


class TimeEmbedding(nn.Module):
    """Sines and cosines of the time (Vaswani et al., 2017) with frequencies from 1 to 100, then a small MLP."""

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 16) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(0, 2, waves), persistent=False)
        self.layers = nn.Sequential(nn.Linear(2 * waves, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())

    def forward(self, t: Tensor) -> Tensor:
        """Embed times ``t`` ``(B,)`` in [0, 1] as ``(B, width)``."""
        angles = t[:, None] * self.frequencies
        return self.layers(torch.cat([angles.sin(), angles.cos()], dim=1))  # type: ignore[no-any-return]


def norm(channels: int) -> nn.GroupNorm:
    """Return group normalisation with about eight channels per group."""
    return nn.GroupNorm(math.gcd(channels, max(1, channels // 8)), channels)


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Set a layer to zero, so that its residual block starts as the identity."""
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
