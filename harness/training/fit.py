"""Fits models: builds them, trains them or lets them fit themselves, and keeps their curves."""

from __future__ import annotations

import dataclasses
import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from harness.budget import Budget, Pace
from harness.capabilities import FitsInClosedForm, Samples, offers
from harness.checkpoint import Checkpoint
from harness.data import Data, Split
from harness.engine import Execution, Precision
from harness.errors import Diverged, NotApplicable, StoreError
from harness.likelihood import has_bound, lower_bound
from harness.memory import is_out_of_memory
from harness.noise import Noise, derive_seed, global_seed, global_state, restore_global_state
from harness.training.loop import Trainer, mean_losses
from harness.training.objectives import bound_name, objectives_of
from harness.training.replay import Unsuited
from harness.training.vectorized import VectorizedTrainer

_validation_batch = 1000
_bound_examples = 500


@dataclass
class Curves:
    """What was seen while training, one entry an epoch: mean losses by objective, and seconds of training.

    Where a model has a lower bound on log p(x) that is not what it trains on, the negative of that is there too, as
    the mean over the first examples of each split.
    """

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

    def add_bound(self, train: float, validation: float) -> None:
        """Append an epoch's negative bound, which is not among the objectives."""
        self.train.setdefault(bound_name, []).append(train)
        self.validation.setdefault(bound_name, []).append(validation)


@dataclass(frozen=True)
class Recipe:
    """What a fit is made of, the seed apart."""

    factory: Callable[..., nn.Module]
    config: Any
    data: Data
    budget: Budget
    precision: Precision = "float32"
    execution: Execution = "eager"


@dataclass
class Fitted:
    """How the fit of one seed ended: with a model in evaluation mode, or with an error.

    Args:
        path: how it was trained, ``single`` or ``vectorized``.
        group: the seeds that were trained together.
        execution: how its steps were taken.
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
    execution: Execution = "eager"
    group: tuple[int, ...] = ()
    fallback: str | None = None
    snapshots: dict[int, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Companions:
    """What goes along with a fit.

    Args:
        on_epoch: takes the number of an epoch, its mean losses, and the share of the budget that is spent.
        look: takes a single model after each epoch, with the seconds of training so far; ends the fit by True.
        announce: takes one line for the user.
        checkpoint: makes the checkpoint of the seeds that are trained together, or None for none.
        snapshots: how many samples to keep of the first, the middle and the last epoch, where the model has samples.
    """

    on_epoch: Callable[[int, Mapping[str, float], float], None] = lambda epoch, losses, progress: None
    look: Callable[[nn.Module, float], bool] = lambda model, seconds: False
    announce: Callable[[str], None] = lambda line: None
    checkpoint: Callable[[Sequence[int]], Checkpoint | None] = lambda seeds: None
    snapshots: int = 0


def fit_seeds(
    recipe: Recipe, seeds: Sequence[int], *, vectorized: bool = False, companions: Companions = Companions()
) -> list[Fitted]:
    """Fit a model from each seed on ``data.train``, on the device of the data.

    With ``vectorized``, gradient models of several seeds are trained as one; a group that does not fit into memory is
    halved until it does, and a model that cannot be vectorised is trained seed by seed. Both are announced.
    """
    if not vectorized or len(seeds) == 1 or offers(recipe.factory, FitsInClosedForm):
        return [fit_seed(recipe, seed, companions) for seed in seeds]
    try:
        return _fit_together(recipe, seeds, companions)
    except Unsuited as error:
        reason = str(error)
    except StoreError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            return [Fitted(seed, error=error) for seed in seeds]
        reason = ""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if reason:
        companions.announce(f"trained seed by seed, since the model cannot be vectorised: {reason}")
        alone = [fit_seed(recipe, seed, companions) for seed in seeds]
        for each in alone:
            each.fallback = "; ".join(filter(None, (reason, each.fallback)))
        return alone
    half = len(seeds) // 2
    companions.announce(f"{len(seeds)} seeds at once do not fit into memory: trying {len(seeds) - half} and {half}")
    parts = (seeds[: len(seeds) - half], seeds[len(seeds) - half :])
    return [each for part in parts for each in fit_seeds(recipe, part, vectorized=True, companions=companions)]


def fit_seed(recipe: Recipe, seed: int, companions: Companions = Companions()) -> Fitted:
    """Fit a model from one seed; ``curves`` tell the story of a fit that fails too.

    Raises:
        StoreError: a checkpoint could not be written.
    """
    fitted = Fitted(seed, group=(seed,))
    try:
        model = _built(recipe, seed)
        with global_seed(derive_seed("global", seed)):
            if offers(model, FitsInClosedForm):
                with torch.no_grad():
                    noise = Noise(derive_seed("data", seed), recipe.data.train.stored.device)
                    model.fit(recipe.data.train, noise)  # type: ignore[operator]
            else:
                _train(recipe, _trainer(recipe, model, seed), [_Course(recipe, fitted, model)], companions)
            fitted.model = _calibrated(recipe, seed, model)
    except StoreError:
        raise
    except Exception as error:
        fitted.error = error
    return fitted


def trainer_of(recipe: Recipe, seed: int) -> Trainer:
    """Return what trains a new model from a seed, step by step, once it is told how to ``execute`` steps, or eagerly.

    Raises:
        NotApplicable: the model is fitted in closed form, or cannot be built for this data.
    """
    if offers(recipe.factory, FitsInClosedForm):
        raise NotApplicable("it is fitted in closed form and takes no training steps")
    return _trainer(recipe, _built(recipe, seed), seed)


def _trainer(recipe: Recipe, model: nn.Module, seed: int) -> Trainer:
    objectives = objectives_of(model, recipe.config)
    return Trainer(model, objectives, recipe.data.train, recipe.budget.batch_size, seed, recipe.precision)


def _fit_together(recipe: Recipe, seeds: Sequence[int], companions: Companions) -> list[Fitted]:
    models = [_built(recipe, seed) for seed in seeds]
    trainer = VectorizedTrainer(
        models, recipe.config, recipe.data.train, recipe.budget.batch_size, seeds, recipe.precision
    )
    fits = [Fitted(seed, path="vectorized", group=tuple(seeds)) for seed in seeds]
    courses = [_Course(recipe, fitted, model) for fitted, model in zip(fits, models, strict=True)]
    _train(recipe, trainer, courses, companions)
    for fitted, course in zip(fits, courses, strict=True):
        if fitted.error is None:
            try:
                fitted.model = _calibrated(recipe, fitted.seed, course.model)
            except Exception as error:
                fitted.error = error
    return fits


def _train(
    recipe: Recipe, trainer: Trainer | VectorizedTrainer, courses: Sequence[_Course], companions: Companions
) -> None:
    """Spend the budget, in the way of the recipe, and note how that went.

    Raises:
        Diverged: the one model there is did.
        StoreError: a checkpoint could not be written.
    """
    pace = Pace(recipe.budget, len(trainer.sizes))
    with pace.running():  # compiling is part of training
        trainer.execute(recipe.execution, companions.announce)
    try:
        _spend(pace, trainer, courses, companions)
    finally:
        trainer.finish()
        for course in courses:
            course.fitted.execution, course.fitted.fallback = trainer.execution, trainer.fallback
    for course in courses:
        course.choose_weights()
    if len(courses) == 1 and courses[0].fitted.error is not None:
        raise courses[0].fitted.error


def _spend(
    pace: Pace, trainer: Trainer | VectorizedTrainer, courses: Sequence[_Course], companions: Companions
) -> None:
    """Take steps, epoch by epoch, until the budget is spent; go on from the checkpoint where there is one."""
    checkpoint = companions.checkpoint([course.fitted.seed for course in courses])
    epoch, told = 0, 0.0
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        epoch = state["epoch"]
        pace.steps, pace.spent = state["pace"]["steps"], state["pace"]["spent"]
        told = pace.spent
        restore_global_state(state["global"])
        trainer.restore(state["trainer"])
        for course, its_state in zip(courses, state["courses"], strict=True):
            course.restore(its_state)
    while not pace.is_over:
        epoch += 1
        with pace.running():
            losses = trainer.epoch(pace)
        trainer.synchronize()
        for course, its_losses in zip(courses, losses, strict=True):
            course.end_epoch(its_losses, pace.spent - told, pace.steps)
            course.keep_snapshot(epoch, pace.progress, companions)
        told = pace.spent
        if all(course.fitted.error is not None for course in courses):
            break
        means = {name: fmean(each[name] for each in losses) for name in losses[0]}
        companions.on_epoch(epoch, means, pace.progress)
        if len(courses) == 1 and companions.look(courses[0].model, pace.spent):
            break
        if checkpoint is not None and checkpoint.is_due:
            state = {
                "epoch": epoch,
                "pace": {"steps": pace.steps, "spent": pace.spent},
                "global": global_state(),
                "trainer": trainer.state(),
                "courses": [course.state() for course in courses],
            }
            checkpoint.save(state, f"{pace.steps:,} steps")


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
        self._progress = 0.0
        self._watches_bound = has_bound(model) and bound_name not in [each.name for each in self.objectives]
        if recipe.budget.weights == "best" and len(self.objectives) > 1:
            names = " and ".join(each.name for each in self.objectives)
            raise NotApplicable(f"it trains on several objectives ({names}), so that no weights are best; use the last")

    def end_epoch(self, losses: Mapping[str, float], seconds: float, steps: int) -> None:
        """Measure the validation losses and add the epoch to the curves, unless training has diverged before.

        A training loss that is not finite is kept as the error of the fit.
        """
        if self.fitted.error is not None:
            return
        self.model.eval()
        validation = mean_losses(self.objectives, self.recipe.data.validation, _validation_batch, self.fitted.seed)
        curves = self.fitted.curves
        curves.add(losses, validation, seconds)
        curves.steps = steps
        for name, value in losses.items():
            if not math.isfinite(value):
                epochs = len(curves.seconds)
                self.fitted.error = Diverged(f"{name} became {value} in epoch {epochs}, after {steps} steps")
                return
        if self._watches_bound:
            train, held_out = self.recipe.data.train, self.recipe.data.validation
            curves.add_bound(self._negative_bound(train), self._negative_bound(held_out))
        if self.recipe.budget.weights == "best":
            loss = validation[self.objectives[0].name]
            if self._best is None or loss < self._best[0]:
                self._best = loss, {name: each.clone() for name, each in self.model.state_dict().items()}

    @torch.no_grad()
    def _negative_bound(self, split: Split) -> float:
        """Return the mean negative bound over the first examples of a split, with the same noise at every call."""
        noise = Noise(derive_seed("bound", self.fitted.seed), split.stored.device)
        return -float(lower_bound(self.model, split.first(_bound_examples).all(noise), noise).mean())

    def keep_snapshot(self, epoch: int, progress: float, companions: Companions) -> None:
        """Keep samples where this epoch is the first, the middle or the last one; a failure is announced."""
        due = epoch == 1 or self._progress < 0.5 <= progress or progress >= 1
        self._progress = progress
        if not (due and companions.snapshots and self.fitted.error is None and offers(self.model, Samples)):
            return
        seed = derive_seed("snapshots", self.fitted.seed)
        noise = Noise(seed, self.recipe.data.train.stored.device)
        try:
            with torch.no_grad(), global_seed(seed):
                samples = self.model.eval().sample(companions.snapshots, noise)  # type: ignore[operator]
            self.fitted.snapshots[epoch] = samples.to("cpu", torch.float32)
        except Exception as error:
            companions.announce(f"no samples could be drawn in epoch {epoch}: {error}")

    def choose_weights(self) -> None:
        """Give the model its best weights where they are wanted."""
        if self._best is not None:
            self.model.load_state_dict(self._best[1])

    def state(self) -> dict[str, Any]:
        """Return what it has seen."""
        error = self.fitted.error
        return {
            "curves": dataclasses.asdict(self.fitted.curves),
            "best": self._best,
            "progress": self._progress,
            "snapshots": self.fitted.snapshots,
            "diverged": None if error is None else str(error),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.fitted.curves = Curves(**state["curves"])
        self._best = state["best"]
        self._progress = state["progress"]
        self.fitted.snapshots = state["snapshots"]
        if state["diverged"] is not None:
            self.fitted.error = Diverged(state["diverged"])
