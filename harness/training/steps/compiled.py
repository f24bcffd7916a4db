"""Compiled steps: ``torch.compile`` fuses the operations of losses; the numbers differ by rounding.

Compiling takes seconds to a minute, which pays off in fits of minutes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from harness.contracts.engine import Precision
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise, global_seed
from harness.training.pure_losses import PureLoss, Unsupported, raising_unsupported, short_message
from harness.training.steps.step import TrainingStep, undone

Function = TypeVar("Function", bound=Callable[..., Tensor])
Gradient = Callable[[], Sequence[Tensor | None]]


class CompiledSteps:
    """Takes steps with compiled losses on full batches, and eager ones on other batches.

    If a compiled loss fails in training, that step and all further ones are eager.

    Raises:
        Unsupported: compiling fails, would be repeated at every step, or changes the gradient.
    """

    is_settled = True

    def __init__(self, step: TrainingStep) -> None:
        self.refusal: str | None = None
        self._step = step
        self._compiled: dict[int, PureLoss] = {}
        torch.compiler.reset()
        with raising_unsupported():
            for which in range(len(step.objectives)):
                with undone(step):
                    eager, fused = (partial(step.gradient, loss, which) for loss in (step.loss, self._fused_loss))
                    require_same_gradient(eager, fused, step.precision)

    def take(self, index: Tensor) -> Tensor:
        """See ``Steps.take``."""
        return self._step.take(index, self._loss if self._step.is_full(index) else self._step.loss)

    def _loss(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        if self.refusal is None:
            states = self._step.noise_states()
            try:
                return self._fused_loss(which, x, noise)
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                self.refusal = short_message(error)
                self._step.rewind_noise(states)
        return self._step.loss(which, x, noise)

    def _fused_loss(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        if which not in self._compiled:
            pure = self._step.pure_loss(which, x)
            self._compiled[which] = replace(pure, function=compiled(pure.function))
        return self._compiled[which](x, noise)


def compiled(function: Function) -> Function:
    """Compile a function as a whole, for the shapes it is first called with.

    It draws the same numbers from torch's global generators as the function itself. The number of threads is an
    option since it is built into the code.
    """
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # or it warns that there is no GPU
    options: dict[str, Any] = {"fallback_random": True, "cpp.threads": torch.get_num_threads()}
    return torch.compile(function, fullgraph=True, dynamic=False, options=options)  # type: ignore[return-value]


def require_same_gradient(eager: Gradient, fused: Gradient, precision: Precision) -> None:
    """Compare a compiled gradient with the eager one, so that what cannot be compiled is found before training.

    Raises:
        Unsupported: compiling fails, would be repeated at every step, or changes the gradient.
    """
    with raising_unsupported():
        with global_seed(0):
            expected = _joined(eager())
        for stance in ("default", "fail_on_recompile", "fail_on_recompile"):
            with torch.compiler.set_stance(stance), global_seed(0):
                found = _joined(fused())
    error, tolerance = float((found - expected).norm() / expected.norm()), 0.1 if precision == "bf16" else 0.001
    if not error <= tolerance:
        raise Unsupported(f"its compiled gradient is off by {error:.2g} of its norm")


def _joined(gradient: Sequence[Tensor | None]) -> Tensor:
    return torch.cat([each.detach().flatten().double() for each in gradient if each is not None])
