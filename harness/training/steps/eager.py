"""Eager steps: Python runs every operation."""

from __future__ import annotations

from torch import Tensor

from harness.training.steps.step import TrainingStep


class EagerSteps:
    """Takes steps as torch does by default."""

    refusal: str | None = None
    is_settled = True

    def __init__(self, step: TrainingStep) -> None:
        self._step = step

    def take(self, index: Tensor) -> Tensor:
        """See ``Steps.take``."""
        return self._step.take(index, self._step.loss)
