"""The inputs of a fit, its callbacks and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
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
    """The inputs of a fit, except the seed; ``weights`` is a file of weights that are used instead of training."""

    factory: Callable[..., nn.Module]
    config: Any
    data: Data
    budget: Budget
    precision: Precision = "float32"
    step_mode: StepMode = "eager"
    weights: Path | None = None

    @classmethod
    def of(cls, fit: Fit, data: Data) -> Recipe:
        """Return the recipe of a planned fit; the budget of a fit without one is a placeholder."""
        budget, engine, model = fit.budget or Budget(epochs=1), fit.engine, fit.model
        return cls(model.factory, model.config, data, budget, engine.precision, engine.step_mode, model.weights)


def new_model(factory: Callable[..., nn.Module], config: Any, data: Data) -> nn.Module:
    """Return a model that is built on the CPU, so that its first weights do not depend on the device of the data."""
    return factory(data.info.to("cpu"), config)


@dataclass
class Fitted:
    """The result of the fit of one seed: a model in evaluation mode, or an error.

    Args:
        seed: of the fit.
        model: None after an error.
        error: None for a fit that succeeded.
        curves: up to the end of training, or to the error.
        path: how it was trained, ``single`` or ``vectorized``.
        step_mode: how its steps were executed.
        group: the seeds that were trained together.
        fallback: why ``path`` or ``step_mode`` is not the one asked for.
        snapshots: samples ``(n, *shape)`` at the end of the first, the middle and the last epoch, by epoch; all of them
            from the same noise, and so from the same latent points.
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
    """Functions that are called during a fit.

    Args:
        on_step: takes nothing; is called after each step.
        on_epoch: takes the number of an epoch, its mean losses, and the share of the budget that is spent.
        after_epoch: takes a model that is trained alone and the seconds of training so far, after each epoch; ends
            the fit by returning True.
        announce: shows the user a line.
        checkpoint: returns the checkpoint of the seeds that are trained together, or None for none.
        snapshots: number of samples to keep after the first, the middle and the last epoch, if the model has samples.
    """

    on_step: Callable[[], None] = lambda: None
    on_epoch: Callable[[int, Mapping[str, float], float], None] = lambda epoch, losses, progress: None
    after_epoch: Callable[[nn.Module, float], bool] = lambda model, seconds: False
    announce: Callable[[str], None] = lambda line: None
    checkpoint: Callable[[Sequence[int]], Checkpoint | None] = lambda seeds: None
    snapshots: int = 0
