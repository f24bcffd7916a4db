"""Losses fused by ``torch.compile``: the same numbers up to rounding, in fewer and longer operations.

Compiling takes seconds to a minute, so that it pays in fits of minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness.noise import Noise, global_seed
from harness.training.replay import Draw, Losses, ReplayedNoise, answering_unsuited, draws_of

Function = TypeVar("Function", bound=Callable[..., Tensor])


def compiled(function: Function) -> Function:
    """Compile a function as a whole, for the shapes it is first called with.

    What it draws from torch's global generators is what it would draw without. Threads are named since they are
    built into the code.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # or it warns that there is no GPU
    options: dict[str, Any] = {"fallback_random": True, "cpp.threads": torch.get_num_threads()}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)  # type: ignore[return-value]


def rehearse(work: Callable[[], object]) -> None:
    """Do what is compiled a few times, so that what cannot be is found before training.

    Raises:
        Unsuited: compiling fails, or would have to be done again at every step.
    """
    with answering_unsuited():
        for stance in ("default", "fail_on_recompile", "fail_on_recompile"):
            with torch.compiler.set_stance(stance), global_seed(0):
                work()


class CompiledLosses:
    """The losses of a model, compiled for batches of one size; those of other sizes are computed as they were."""

    def __init__(self, losses: Losses, size: int) -> None:
        self._losses = losses
        self._size = size
        self._compiled: dict[int, tuple[list[Draw], Callable[[Tensor, list[Tensor]], Tensor]]] = {}

    def __call__(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of objective number ``which`` on a batch ``(B, *shape)``, a scalar."""
        if len(x) != self._size:
            loss: Tensor = self._losses(which, x, noise)
            return loss
        if which not in self._compiled:
            self._compiled[which] = self._compile(which, x)
        draws, function = self._compiled[which]
        return function(x, [draw.made_by(noise) for draw in draws])

    def _compile(self, which: int, x: Tensor) -> tuple[list[Draw], Callable[[Tensor, list[Tensor]], Tensor]]:
        draws, loss = draws_of(self._losses, which, x), self._losses.objectives[which].loss
        return draws, compiled(lambda x, numbers: loss(x, ReplayedNoise(draws, numbers)))
