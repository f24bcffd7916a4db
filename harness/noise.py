"""Random numbers: every draw comes from a stream with a named seed, and nothing reads a global generator.

A step that takes its noise as an argument can be repeated, compared between models, and vectorised over seeds.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal


def derive_seed(*parts: str | int) -> int:
    """Hash named parts to a seed below 2^63: equal parts give equal streams, on any machine, in any order."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


class Noise:
    """A stream of random numbers on one device."""

    def __init__(self, seed: int, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.generator = torch.Generator(self.device).manual_seed(seed)

    @property
    def state(self) -> Tensor:
        """The stream's position, for ``restore``."""
        return self.generator.get_state()

    def restore(self, state: Tensor) -> None:
        """Set the stream back to a position that ``state`` returned."""
        self.generator.set_state(state)

    def go_on_from(self, state: Tensor) -> None:
        """Call ``restore``; the name is deprecated."""
        warnings.warn("Noise.go_on_from is now Noise.restore", DeprecationWarning, stacklevel=2)
        self.restore(state)

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        return torch.randn(shape, generator=self.generator, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        return torch.rand(shape, generator=self.generator, device=self.device)

    def bernoulli(self, probability: Tensor) -> Tensor:
        """Draw 0 or 1 with the given probabilities, as a tensor of their shape and type."""
        return (self.uniform(*probability.shape) < probability).to(probability.dtype)

    def permutation(self, n: int) -> Tensor:
        """Draw a permutation of ``n`` items, ``(n,)`` int64."""
        return torch.randperm(n, generator=self.generator, device=self.device)


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed torch's global generators within the block, for code that draws from them, and restore them after."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def global_state() -> list[Tensor]:
    """Return the states of torch's global generators, the CPU's first, for ``restore_global_state``."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]


def restore_global_state(state: list[Tensor]) -> None:
    """Set torch's global generators to what ``global_state`` returned."""
    torch.set_rng_state(state[0])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state[1:])


def draw(distribution: Distribution, noise: Noise, samples: int | None = None) -> Tensor:
    """Draw reparameterised samples of a distribution from the given noise.

    Normal and Bernoulli, also as ``Independent``, take their numbers from ``noise``; any other distribution
    draws from torch's global generator, which is seeded from ``noise`` first.

    Returns:
        One sample, ``(*batch, *event)``, or with ``samples`` that many, ``(samples, *batch, *event)``.
    """
    base = distribution
    while isinstance(base, Independent):
        base = base.base_dist
    several = () if samples is None else (samples,)
    shape = (*several, *distribution.batch_shape, *distribution.event_shape)
    if isinstance(base, Normal):
        return base.loc + base.scale * noise.normal(*shape)
    if isinstance(base, Bernoulli):
        return noise.bernoulli(base.probs.expand(shape))
    with global_seed(int(torch.randint(2**62, (), generator=noise.generator, device=noise.generator.device))):
        return distribution.rsample(several) if distribution.has_rsample else distribution.sample(several)
