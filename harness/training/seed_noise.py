"""Noise of several seeds at once, each from its own stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.noise import Noise
from harness.training.pure_losses import Draw, Unsupported


class _SeedNoise(Noise):
    """Noise from one stream for each seed."""

    def __init__(self, streams: Sequence[Noise]) -> None:
        self.streams = list(streams)
        self.device = streams[0].device

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """There is none: each seed has its own."""
        raise Unsupported("its data set draws from a generator of its own")


class StackedNoise(_SeedNoise):
    """Noise with a first dimension for the seeds: a draw of ``shape`` is ``(seeds, *shape)``."""

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        return self._stacked(lambda stream: stream.normal(*shape))

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        return self._stacked(lambda stream: stream.uniform(*shape))

    def permutation(self, n: int) -> Tensor:
        """Draw a permutation of ``n`` indices for each seed."""
        return self._stacked(lambda stream: stream.permutation(n))

    def _stacked(self, drawn: Callable[[Noise], Tensor]) -> Tensor:
        return torch.stack([drawn(stream) for stream in self.streams])


class JoinedNoise(_SeedNoise):
    """Noise for the concatenated batches of several seeds."""

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        return self._joined("normal", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        return self._joined("uniform", shape)

    def _joined(self, method: str, shape: tuple[int, ...]) -> Tensor:
        part = Draw(method, (shape[0] // len(self.streams), *shape[1:]))
        return torch.cat([part.sample(stream) for stream in self.streams])


def streams_of(noise: Noise) -> list[Noise]:
    """Return the streams that a noise draws from: those of its seeds, or itself."""
    return noise.streams if isinstance(noise, _SeedNoise) else [noise]
