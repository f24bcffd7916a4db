"""What a fit starts from, what is called during it, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from harness.contracts.checkpoints import Checkpoint
from harness.contracts.curves import Curves
from harness.contracts.engine import Precision, StepMode
from harness.data.dataset import Data
from harness.planning.budget import Budget
from harness.planning.plan import Fit


@dataclass(frozen=True)
class Recipe:
    """What a fit is made of, apart from the seed."""

    factory: Callable[..., nn.Module]
    config: Any
    data: Data
    budget: Budget
    precision: Precision = "float32"
    step_mode: StepMode = "eager"

    @classmethod
    def of(cls, fit: Fit, data: Data) -> Recipe:
        """Return the recipe of a planned fit. A closed-form fit has no budget and ignores the one it gets here."""
        budget = fit.budget or Budget(epochs=1)
        return cls(fit.model.factory, fit.model.config, data, budget, fit.engine.precision, fit.engine.step_mode)


@dataclass
class Fitted:
    """How the fit of one seed ended: with a model in evaluation mode, or with an error.

    Args:
        path: how it was trained, ``single`` or ``vectorized``.
        group: the seeds that were trained together.
        step_mode: how its steps were taken.
        fallback: why it was trained alone where it should have been vectorised, or its steps were taken eagerly where
            they should not have been.
        snapshots: samples ``(n, *shape)`` at the end of the first, the middle and the last epoch, by epoch; all of them
            from the same noise, which is to say the same latent points.
    """

    seed: int
    model: nn.Module | None = None
    error: Exception | None = None
    curves: Curves = field(default_factory=Curves)
    path: str = "single"
    step_mode: StepMode = "eager"
    group: tuple[int, ...] = ()
    fallback: str | None = None
    snapshots: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Callbacks:
    """What is called during a fit.

    Args:
        on_epoch: takes the number of an epoch, its mean losses, and the share of the budget that is spent.
        after_epoch: takes a model that trains on its own, after each epoch, with the seconds of training so far; ends
            the fit by returning True.
        announce: shows the user one line.
        checkpoint: makes the checkpoint of the seeds that are trained together, or None for none.
        snapshots: how many samples to keep of the first, the middle and the last epoch, where the model has samples.
    """

    on_epoch: Callable[[int, Mapping[str, float], float], None] = lambda epoch, losses, progress: None
    after_epoch: Callable[[nn.Module, float], bool] = lambda model, seconds: False
    announce: Callable[[str], None] = lambda line: None
    checkpoint: Callable[[Sequence[int]], Checkpoint | None] = lambda seeds: None
    snapshots: int = 0
