"""How long a gradient model is trained, and which of its weights are kept."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from harness.words import counted


@dataclass(frozen=True)
class Budget:
    """A number of epochs, steps or seconds: exactly one of the three is set.

    Args:
        epochs: passes over the training split.
        steps: steps of the optimiser.
        seconds: time spent in training steps, without validation.
        batch_size: training examples a step.
        weights: the last ones, or the best by validation loss, computed once an epoch.
    """

    epochs: int | None = None
    steps: int | None = None
    seconds: float | None = None
    batch_size: int = 128
    weights: Literal["last", "best"] = "last"

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.epochs, self.steps, self.seconds)) != 1:
            raise ValueError("a budget is given in epochs, in steps or in seconds: exactly one of them")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The settings that were given, as JSON values."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


def in_words(budget: Mapping[str, Any]) -> str:
    """Write the identity of a budget, or what several have in common, in a few words."""
    words = [counted(budget[f"{unit}s"], unit) for unit in ("epoch", "step") if f"{unit}s" in budget]
    if "seconds" in budget:
        words.append(f"{budget['seconds']:g} s of training")
    if "batch_size" in budget:
        words.append(f"batch size {budget['batch_size']}")
    if budget.get("weights") == "best":
        words.append("best weights by validation loss")
    return ", ".join(words)


class BudgetProgress:
    """The part of its budget that a fit has spent."""

    def __init__(self, budget: Budget, steps_per_epoch: int) -> None:
        self.seconds = budget.seconds
        self.total_steps = budget.epochs * steps_per_epoch if budget.epochs else budget.steps
        self.steps = 0
        self.spent = 0.0
        self._started: float | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time within the block."""
        self._started = time.perf_counter()
        try:
            yield
        finally:
            self.spent += time.perf_counter() - self._started
            self._started = None

    @property
    def share(self) -> float:
        """The share of the budget that is spent, from 0 to 1."""
        if self.total_steps is not None:
            return self.steps / self.total_steps
        assert self.seconds is not None
        running = time.perf_counter() - self._started if self._started is not None else 0.0
        return min(1.0, (self.spent + running) / self.seconds)

    @property
    def is_over(self) -> bool:
        """Whether the budget is spent."""
        return self.share >= 1
