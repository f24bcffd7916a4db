"""Fits models: builds them, trains them or lets them fit themselves, and keeps their curves."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from harness.budget import Budget, Pace
from harness.capabilities import FitsInClosedForm, offers
from harness.data import Data
from harness.errors import Diverged, NotApplicable
from harness.memory import is_out_of_memory
from harness.noise import Noise, derive_seed, global_seed
from harness.training.loop import Trainer, mean_losses
from harness.training.objectives import objectives_of
from harness.training.precision import Precision
from harness.training.vectorized import NotVectorizable, VectorizedTrainer

_validation_batch = 1000


@dataclass
class Curves:
    """What was seen while training, one entry an epoch: mean losses by objective, and seconds of training."""

    train: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0

    def add(self, train: Mapping[str, float], validation: Mapping[str, float], seconds: float) -> None:
        """Append an epoch."""
        for kept, new in ((self.train, train), (self.validation, validation)):
            for name, value in new.items():
                kept.setdefault(name, []).append(value)
        self.seconds.append(seconds)


@dataclass(frozen=True)
class Recipe:
    """What a fit is made of, the seed apart."""

    factory: Callable[..., nn.Module]
    config: Any
    data: Data
    budget: Budget
    precision: Precision = "float32"


@dataclass
class Fitted:
    """How the fit of one seed ended: with a model in evaluation mode, or with an error.

    Args:
        path: how it was trained, ``single`` or ``vectorized``.
        group: the seeds that were trained together.
        fallback: why it was trained alone where it should have been vectorised.
    """

    seed: int
    model: nn.Module | None = None
    error: Exception | None = None
    curves: Curves = field(default_factory=Curves)
    path: str = "single"
    group: tuple[int, ...] = ()
    fallback: str | None = None


OnEpoch = Callable[[int, Mapping[str, float], float], None]
"""Takes the number of an epoch, its mean losses, and the share of the budget that is spent."""


def fit_seeds(
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    vectorized: bool = False,
    on_epoch: OnEpoch = lambda epoch, losses, progress: None,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Fitted]:
    """Fit a model from each seed on ``data.train``, on the device of the data.

    With ``vectorized``, gradient models of several seeds are trained as one; a group that does not fit into memory is
    halved until it does, and a model that cannot be vectorised is trained seed by seed. Both are announced.
    """
    if not vectorized or len(seeds) == 1 or offers(recipe.factory, FitsInClosedForm):
        return [fit_seed(recipe, seed, on_epoch) for seed in seeds]
    try:
        return _fit_together(recipe, seeds, on_epoch)
    except NotVectorizable as error:
        reason = str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            return [Fitted(seed, error=error) for seed in seeds]
        reason = ""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if reason:
        announce(f"trained seed by seed, since the model cannot be vectorised: {reason}")
        alone = [fit_seed(recipe, seed, on_epoch) for seed in seeds]
        for each in alone:
            each.fallback = reason
        return alone
    half = len(seeds) // 2
    announce(f"{len(seeds)} seeds at once do not fit into memory: trying {len(seeds) - half} and {half}")
    parts = (seeds[: len(seeds) - half], seeds[len(seeds) - half :])
    return [
        each
        for part in parts
        for each in fit_seeds(recipe, part, vectorized=True, on_epoch=on_epoch, announce=announce)
    ]


def fit_seed(recipe: Recipe, seed: int, on_epoch: OnEpoch = lambda epoch, losses, progress: None) -> Fitted:
    """Fit a model from one seed; ``curves`` tell the story of a fit that fails too."""
    fitted = Fitted(seed, group=(seed,))
    try:
        model = _built(recipe, seed)
        with global_seed(derive_seed("global", seed)):
            if offers(model, FitsInClosedForm):
                with torch.no_grad():
                    noise = Noise(derive_seed("data", seed), recipe.data.train.stored.device)
                    model.fit(recipe.data.train, noise)  # type: ignore[operator]
            else:
                _train_alone(recipe, fitted, model, on_epoch)
            fitted.model = _calibrated(recipe, seed, model)
    except Exception as error:
        fitted.error = error
    return fitted


def _train_alone(recipe: Recipe, fitted: Fitted, model: nn.Module, on_epoch: OnEpoch) -> None:
    objectives = objectives_of(model, recipe.config)
    trainer = Trainer(model, objectives, recipe.data.train, recipe.budget.batch_size, fitted.seed, recipe.precision)
    course = _Course(recipe, fitted, model)
    pace = Pace(recipe.budget, trainer.steps_per_epoch)
    epoch = 0
    while not pace.is_over:
        epoch += 1
        model.train()
        spent = pace.spent
        with pace.running():
            losses = trainer.epoch(pace)
        course.end_epoch(losses, pace.spent - spent, pace.steps)
        on_epoch(epoch, losses, pace.progress)
    course.choose_weights()


def _fit_together(recipe: Recipe, seeds: Sequence[int], on_epoch: OnEpoch) -> list[Fitted]:
    models = [_built(recipe, seed) for seed in seeds]
    trainer = VectorizedTrainer(
        models, recipe.config, recipe.data.train, recipe.budget.batch_size, seeds, recipe.precision
    )
    fits = [Fitted(seed, path="vectorized", group=tuple(seeds)) for seed in seeds]
    courses = [_Course(recipe, fitted, model) for fitted, model in zip(fits, models, strict=True)]
    pace = Pace(recipe.budget, trainer.steps_per_epoch)
    epoch = 0
    while not pace.is_over and any(fitted.error is None for fitted in fits):
        epoch += 1
        spent = pace.spent
        with pace.running():
            losses = trainer.epoch(pace)
        trainer.synchronize()
        for fitted, course, its_losses in zip(fits, courses, losses, strict=True):
            if fitted.error is None:
                try:
                    course.end_epoch(its_losses, pace.spent - spent, pace.steps)
                except Diverged as error:
                    fitted.error = error
        on_epoch(epoch, {name: fmean(each[name] for each in losses) for name in losses[0]}, pace.progress)
    for fitted, course in zip(fits, courses, strict=True):
        if fitted.error is None:
            course.choose_weights()
            fitted.model = _calibrated(recipe, fitted.seed, course.model)
    return fits


def _built(recipe: Recipe, seed: int) -> nn.Module:
    device = recipe.data.train.stored.device
    with global_seed(derive_seed("initialisation", seed)):
        return recipe.factory(recipe.data.info, recipe.config).to(device)


def _calibrated(recipe: Recipe, seed: int, model: nn.Module) -> nn.Module:
    if hasattr(model, "calibrate"):
        device = recipe.data.train.stored.device
        with torch.no_grad():
            model.eval().calibrate(recipe.data.validation, Noise(derive_seed("calibration", seed), device))  # type: ignore[operator]
    return model.eval()


class _Course:
    """Watches one seed's model on validation as it trains, and keeps its best weights where they are wanted."""

    def __init__(self, recipe: Recipe, fitted: Fitted, model: nn.Module) -> None:
        self.recipe = recipe
        self.fitted = fitted
        self.model = model
        self.objectives = objectives_of(model, recipe.config)
        self._best: tuple[float, dict[str, Tensor]] | None = None
        if recipe.budget.weights == "best" and len(self.objectives) > 1:
            names = " and ".join(each.name for each in self.objectives)
            raise NotApplicable(f"it trains on several objectives ({names}), so that no weights are best; use the last")

    def end_epoch(self, losses: Mapping[str, float], seconds: float, steps: int) -> None:
        """Measure the validation losses and add the epoch to the curves.

        Raises:
            Diverged: a training loss is not finite.
        """
        self.model.eval()
        validation = mean_losses(self.objectives, self.recipe.data.validation, _validation_batch, self.fitted.seed)
        curves = self.fitted.curves
        curves.add(losses, validation, seconds)
        curves.steps = steps
        for name, value in losses.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} became {value} in epoch {len(curves.seconds)}, after {steps} steps")
        if self.recipe.budget.weights == "best":
            loss = validation[self.objectives[0].name]
            if self._best is None or loss < self._best[0]:
                self._best = loss, {name: each.clone() for name, each in self.model.state_dict().items()}

    def choose_weights(self) -> None:
        """Give the model its best weights where they are wanted."""
        if self._best is not None:
            self.model.load_state_dict(self._best[1])
