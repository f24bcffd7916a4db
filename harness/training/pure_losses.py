"""Losses as pure functions of tensors: their random numbers are drawn beforehand and passed in.

``torch.func.vmap`` and ``torch.compile`` need this, since neither can handle a generator of random numbers. Which
numbers a loss draws is recorded once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.contracts.objectives import Objective
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise


class Unsupported(Exception):  # noqa: N818 -- an answer, not a failure
    """A model cannot be vectorized, or its steps cannot be compiled or captured; the message says why."""


@contextmanager
def raising_unsupported() -> Iterator[None]:
    """Turn an exception within the block into ``Unsupported``, unless memory ran out."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise Unsupported(short_message(error)) from error


def short_message(error: Exception) -> str:
    """Return the message of an exception on a single line, cut to 200 characters."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@dataclass(frozen=True)
class Draw:
    """A request for random numbers: a method of ``Noise`` and its arguments."""

    method: str
    arguments: tuple[int, ...]

    def sample(self, noise: Noise) -> Tensor:
        """Draw the numbers."""
        drawn: Tensor = getattr(noise, self.method)(*self.arguments)
        return drawn


class RecordingNoise(Noise):
    """Noise that records the requests for random numbers."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(0, device)
        self.draws: list[Draw] = []

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        self.draws.append(Draw("normal", shape))
        return super().normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        self.draws.append(Draw("uniform", shape))
        return super().uniform(*shape)

    def permutation(self, n: int) -> Tensor:
        """Draw a permutation of ``n`` indices."""
        self.draws.append(Draw("permutation", (n,)))
        return super().permutation(n)


class ReplayedNoise(Noise):
    """Noise that returns numbers drawn before, for the same requests in the same order."""

    def __init__(self, draws: Sequence[Draw], numbers: Sequence[Tensor]) -> None:
        self._numbers = iter(zip(draws, numbers, strict=True))

    def normal(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be normal."""
        return self._next(Draw("normal", shape))

    def uniform(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be uniform."""
        return self._next(Draw("uniform", shape))

    def permutation(self, n: int) -> Tensor:
        """Return the next permutation."""
        return self._next(Draw("permutation", (n,)))

    def _next(self, requested: Draw) -> Tensor:
        recorded, numbers = next(self._numbers, (None, None))
        if recorded != requested or numbers is None:
            raise Unsupported("what it draws changes from step to step")
        return numbers

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """There is none: the numbers were drawn before."""
        raise Unsupported("it draws from a generator of its own")


class Losses(nn.Module):
    """The objectives of a model as one module, whose parameters ``functional_call`` can replace."""

    def __init__(self, model: nn.Module, objectives: list[Objective]) -> None:
        super().__init__()
        self.model = model
        self.objectives = objectives

    def forward(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of objective number ``which`` on a batch ``(B, *shape)``, a scalar."""
        return self.objectives[which].of_batch(x, noise)


@dataclass(frozen=True)
class PureLoss:
    """A loss as a function of tensors alone, for batches of one size.

    Args:
        draws: what it draws, in order.
        function: from ``arguments``, a batch and the numbers drawn to the loss.
        arguments: the first arguments of ``function``.
    """

    draws: list[Draw]
    function: Callable[..., Tensor]
    arguments: tuple[Any, ...] = ()

    def __call__(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss on a batch, with numbers drawn from ``noise``."""
        return self.function(*self.arguments, x, [draw.sample(noise) for draw in self.draws])


@torch.no_grad()
def draws_of(losses: Losses, which: int, x: Tensor) -> list[Draw]:
    """Find out, on a copy of the model, what an objective draws for a batch like ``x``.

    Raises:
        Unsupported: it replaces a buffer.
    """
    recorder, losses = RecordingNoise(x.device), copy.deepcopy(losses)
    before = dict(losses.model.named_buffers())
    losses(which, x, recorder)
    for name, buffer in losses.model.named_buffers():
        if buffer is not before.get(name):
            raise Unsupported(f"it replaces its buffer {name!r} instead of changing it in place")
    return recorder.draws
