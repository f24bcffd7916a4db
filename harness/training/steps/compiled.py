"""Losses fused by ``torch.compile``: the same numbers up to rounding, in fewer and longer operations.

Compiling takes seconds to a minute, so that it pays in fits of minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness.contracts.engine import Precision
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise, global_seed
from harness.training.pure_losses import (
    Draw,
    Losses,
    ReplayedNoise,
    Unsuited,
    answering_unsuited,
    draws_of,
    in_one_line,
)

Function = TypeVar("Function", bound=Callable[..., Tensor])
Gradient = Callable[[], Sequence[Tensor | None]]


def compiled(function: Function) -> Function:
    """Compile a function as a whole, for the shapes it is first called with.

    What it draws from torch's global generators is what it would draw without. Threads are named since they are
    built into the code.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # or it warns that there is no GPU
    options: dict[str, Any] = {"fallback_random": True, "cpp.threads": torch.get_num_threads()}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)  # type: ignore[return-value]


def rehearse(plain: Gradient, fused: Gradient, precision: Precision) -> None:
    """Hold a compiled gradient against the plain one, so that what cannot be compiled is found before training.

    Raises:
        Unsuited: compiling fails, would have to be done again at every step, or comes to another gradient.
    """
    with answering_unsuited():
        with global_seed(0):
            expected = _joined(plain())
        for stance in ("default", "fail_on_recompile", "fail_on_recompile"):
            with torch.compiler.set_stance(stance), global_seed(0):
                found = _joined(fused())
    error, tolerance = float((found - expected).norm() / expected.norm()), 0.1 if precision == "bf16" else 0.001
    if not error <= tolerance:
        raise Unsuited(f"its compiled gradient is off by {error:.2g} of its norm")


def _joined(gradient: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([each.detach().flatten().double() for each in gradient if each is not None])


class CompiledLosses:
    """The losses of a model, compiled for batches of one size; those of other sizes are computed as they were.

    ``refuse`` is told why losses are computed as they were after all, where what was compiled fails at some step;
    until it is set such failures are raised.
    """

    def __init__(self, losses: Losses, size: int) -> None:
        self.refuse: Callable[[Unsuited], None] | None = None
        self._losses = losses
        self._size = size
        self._compiled: dict[int, tuple[list[Draw], Callable[[Tensor, list[Tensor]], Tensor]]] = {}

    def __call__(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of objective number ``which`` on a batch ``(B, *shape)``, a scalar."""
        if len(x) == self._size:
            if which not in self._compiled:
                self._compiled[which] = self._compile(which, x)
            draws, function = self._compiled[which]
            before = noise.state
            try:
                return function(x, [draw.made_by(noise) for draw in draws])
            except Exception as error:
                if self.refuse is None or is_out_of_memory(error):
                    raise
                self.refuse(Unsuited(in_one_line(error)))
                noise.restore(before)
        loss: Tensor = self._losses(which, x, noise)
        return loss

    def _compile(self, which: int, x: Tensor) -> tuple[list[Draw], Callable[[Tensor, list[Tensor]], Tensor]]:
        draws, loss = draws_of(self._losses, which, x), self._losses.objectives[which].loss
        return draws, compiled(lambda x, numbers: loss(x, ReplayedNoise(draws, numbers)))
