"""Losses as pure functions: what they draw is noted once, drawn beforehand from then on, and handed in as numbers.

Only so can a loss be mapped over seeds or compiled, since neither can be done to a generator of random numbers.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from harness.contracts.objectives import Objective
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise


class Unsuited(Exception):  # noqa: N818 -- an answer, not a failure
    """The steps of this model cannot be taken in the way that was asked for; the message says why."""


@contextmanager
def answering_unsuited() -> Iterator[None]:
    """Turn what goes wrong within the block into ``Unsuited``, in one line, but for a lack of memory."""
    try:
        yield
    except Unsuited:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise Unsuited(in_one_line(error)) from error


def in_one_line(error: Exception) -> str:
    """Return what an exception says, at most 200 characters of it."""
    return " ".join(str(error).split())[:200] or type(error).__name__


@contextmanager
def leaving_no_trace(model: nn.Module) -> Iterator[None]:
    """Bring a model's buffers, and what it counts in Python, back to what they were before the block."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    counters = counters_of(model)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        restore_counters(model, counters)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, also those that are left out of the state, each once."""
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def counters_of(model: nn.Module) -> list[dict[str, Any]]:
    """Return the numbers, words and switches that each module keeps as attributes."""
    return [
        {name: value for name, value in vars(module).items() if isinstance(value, bool | int | float | str)}
        for module in model.modules()
    ]


def restore_counters(model: nn.Module, counters: list[dict[str, Any]]) -> None:
    """Set them to what ``counters_of`` returned."""
    for module, its_counters in zip(model.modules(), counters, strict=True):
        vars(module).update(its_counters)


@dataclass(frozen=True)
class Draw:
    """A request for random numbers: which method of ``Noise``, with which arguments."""

    method: str
    arguments: tuple[int, ...]

    def made_by(self, noise: Noise) -> Tensor:
        """Make it."""
        drawn: Tensor = getattr(noise, self.method)(*self.arguments)
        return drawn


class RecordedNoise(Noise):
    """Noise that notes what is drawn from it."""

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
        """Draw an order of ``n`` things."""
        self.draws.append(Draw("permutation", (n,)))
        return super().permutation(n)


class ReplayedNoise(Noise):
    """Noise that hands out numbers drawn before, in the order in which they were asked for then."""

    def __init__(self, draws: Sequence[Draw], numbers: Sequence[Tensor]) -> None:
        self._numbers = iter(zip(draws, numbers, strict=True))

    def normal(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be normal."""
        return self._next(Draw("normal", shape))

    def uniform(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be uniform."""
        return self._next(Draw("uniform", shape))

    def permutation(self, n: int) -> Tensor:
        """Return the next order."""
        return self._next(Draw("permutation", (n,)))

    def _next(self, wanted: Draw) -> Tensor:
        recorded, numbers = next(self._numbers, (None, None))
        if recorded != wanted or numbers is None:
            raise Unsuited("what it draws changes from step to step")
        return numbers

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """There is none: numbers come from draws that were noted."""
        raise Unsuited("it draws from a generator of its own")


class Losses(nn.Module):
    """The objectives of a model as one module, whose parameters ``functional_call`` can replace."""

    def __init__(self, model: nn.Module, objectives: list[Objective]) -> None:
        super().__init__()
        self.model = model
        self.objectives = objectives

    def forward(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of objective number ``which`` on a batch ``(B, *shape)``, a scalar."""
        return self.objectives[which].loss(x, noise)


@torch.no_grad()
def draws_of(losses: Losses, which: int, x: Tensor) -> list[Draw]:
    """Find out, on a copy of the model, what an objective draws for a batch like ``x``.

    Raises:
        Unsuited: it replaces a buffer.
    """
    recorded, losses = RecordedNoise(x.device), copy.deepcopy(losses)
    before = dict(losses.model.named_buffers())
    losses(which, x, recorded)
    for name, buffer in losses.model.named_buffers():
        if buffer is not before.get(name):
            raise Unsuited(f"it replaces its buffer {name!r} instead of changing it in place")
    return recorded.draws
