"""Fits models: builds them, trains them or calls their closed-form fit, and keeps their curves."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any

import torch
from torch import nn

from harness.contracts.models import Calibrates, FitsItself, offers
from harness.contracts.objectives import objectives_of
from harness.errors import Diverged, NotApplicable, StoreError, no_exit
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise, derive_seed, global_seed, global_state, restore_global_state
from harness.planning.budget import BudgetProgress
from harness.training.given_weights import load_weights
from harness.training.loop import TrainingLoop
from harness.training.monitor import SeedMonitor
from harness.training.pure_losses import Unsupported
from harness.training.recipe import Callbacks, Fitted, Recipe, new_model
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer
from harness.words import counted

_refused_parameter = re.compile(r"Expected parameter (\w+) .*of distribution (\w+)\(.*nan", re.DOTALL)


def fit_seeds(
    recipe: Recipe, seeds: Sequence[int], *, vectorized: bool = False, callbacks: Callbacks = Callbacks()
) -> list[Fitted]:
    """Fit a model from each seed on ``data.train``, on the device of the data.

    With ``vectorized``, gradient models of several seeds are trained as one. A group that does not fit into memory is
    halved until it does, and a model that cannot be vectorized is trained seed by seed. Both are announced.

    Raises:
        StoreError: a checkpoint could not be written.
    """
    if not vectorized or len(seeds) == 1 or offers(recipe.factory, FitsItself):
        return [fit_seed(recipe, seed, callbacks) for seed in seeds]
    unsupported = None
    try:
        with no_exit():
            return _fit_vectorized(recipe, seeds, callbacks)
    except StoreError:
        raise
    except Unsupported as error:
        unsupported = str(error)
    except Exception as error:
        if not is_out_of_memory(error):
            return [Fitted(seed, error=error) for seed in seeds]
    _free_memory()  # not before here, since the exception refers to tensors
    if unsupported is None:
        return _fit_halves(recipe, seeds, callbacks)
    return _fit_one_by_one(recipe, seeds, unsupported, callbacks)


def _fit_one_by_one(recipe: Recipe, seeds: Sequence[int], reason: str, callbacks: Callbacks) -> list[Fitted]:
    callbacks.announce(f"trained seed by seed, since the model cannot be vectorized: {reason}")
    fits = [fit_seed(recipe, seed, callbacks) for seed in seeds]
    for fitted in fits:
        fitted.fallback = "; ".join(filter(None, (reason, fitted.fallback)))
    return fits


def _fit_halves(recipe: Recipe, seeds: Sequence[int], callbacks: Callbacks) -> list[Fitted]:
    middle = len(seeds) - len(seeds) // 2
    halves = seeds[:middle], seeds[middle:]
    callbacks.announce(
        f"{len(seeds)} seeds at once do not fit into memory: trying {len(halves[0])} and {len(halves[1])}"
    )
    return [fitted for half in halves for fitted in fit_seeds(recipe, half, vectorized=True, callbacks=callbacks)]


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def fit_seed(recipe: Recipe, seed: int, callbacks: Callbacks = Callbacks()) -> Fitted:
    """Fit a model from one seed, or give it its weights; a fit that fails has its error, and its curves up to then.

    Raises:
        StoreError: a checkpoint could not be written.
    """
    fitted = Fitted(seed, group=(seed,))
    try:
        with no_exit():
            fitted.model = _fit_single(recipe, fitted, callbacks)
    except StoreError:
        raise
    except Exception as error:
        fitted.error = error
    return fitted


def trainer_of(recipe: Recipe, seed: int) -> Trainer:
    """Return a trainer for a new model from a seed; steps are eager unless ``Trainer.use`` is called.

    Raises:
        NotApplicable: the model is fitted in closed form, or cannot be built for this data.
    """
    if offers(recipe.factory, FitsItself):
        raise NotApplicable("it is fitted in closed form and takes no training steps")
    with no_exit():
        return _trainer(recipe, built(recipe, seed), seed)


def _trainer(recipe: Recipe, model: nn.Module, seed: int) -> Trainer:
    objectives = objectives_of(model, recipe.config)
    return Trainer(model, objectives, recipe.data.train, recipe.budget.batch_size, seed, recipe.precision)


def _fit_single(recipe: Recipe, fitted: Fitted, callbacks: Callbacks) -> nn.Module:
    seed = fitted.seed
    model = built(recipe, seed)
    if recipe.weights is not None:
        return model.eval()
    with global_seed(derive_seed("global", seed)):
        if offers(model, FitsItself):
            _fit_in_closed_form(recipe, seed, model)
        else:
            trainer, monitors = _trainer(recipe, model, seed), [SeedMonitor(recipe, fitted, model)]
            with _naming_divergence(model, fitted):
                _train(recipe, trainer, monitors, callbacks)
        return _calibrated(recipe, seed, model)


@contextmanager
def _naming_divergence(model: nn.Module, fitted: Fitted) -> Iterator[None]:
    """Turn an exception that comes from numbers that are not finite into ``Diverged``.

    Raises:
        Diverged: torch.distributions refuses a parameter of a distribution, or a weight is not finite.
    """
    try:
        yield
    except (Diverged, NotApplicable, StoreError):
        raise
    except Exception as error:
        refused = _refused_parameter.search(str(error)) if isinstance(error, ValueError) else None
        lost = [name for name, each in model.named_parameters() if not bool(each.isfinite().all())]
        what = f"{refused[1]} of a {refused[2]} distribution" if refused else f"the weight {lost[0]}" if lost else None
        if what is None:
            raise
        raise Diverged(f"{what} became not finite in epoch {len(fitted.curves.seconds) + 1}") from error


def _fit_in_closed_form(recipe: Recipe, seed: int, model: nn.Module) -> None:
    with torch.no_grad():
        noise = Noise(derive_seed("data", seed), recipe.data.train.stored.device)
        model.fit(recipe.data.train, noise)  # type: ignore[operator]


def _fit_vectorized(recipe: Recipe, seeds: Sequence[int], callbacks: Callbacks) -> list[Fitted]:
    models = [built(recipe, seed) for seed in seeds]
    trainer = VectorizedTrainer(
        models, recipe.config, recipe.data.train, recipe.budget.batch_size, seeds, recipe.precision
    )
    fits = [Fitted(seed, path="vectorized", group=tuple(seeds)) for seed in seeds]
    monitors = [SeedMonitor(recipe, fitted, model) for fitted, model in zip(fits, models, strict=True)]
    _train(recipe, trainer, monitors, callbacks)
    for fitted, model in zip(fits, models, strict=True):
        if fitted.error is None:
            try:
                with no_exit():
                    fitted.model = _calibrated(recipe, fitted.seed, model)
            except Exception as error:
                fitted.error = error
    return fits


def _train(recipe: Recipe, trainer: TrainingLoop, monitors: Sequence[SeedMonitor], callbacks: Callbacks) -> None:
    """Spend the budget in the step mode of the recipe, and record the step mode that was used.

    Raises:
        Diverged: training of the only model diverged.
        StoreError: a checkpoint could not be written.
    """
    progress = BudgetProgress(recipe.budget, len(trainer.sizes))
    with progress.running():  # compiling is part of training
        trainer.use(recipe.step_mode, callbacks.announce)
    try:
        _spend(progress, trainer, monitors, callbacks)
    finally:
        trainer.finish()
        for monitor in monitors:
            monitor.fitted.step_mode, monitor.fitted.fallback = trainer.step_mode, trainer.fallback
    for monitor in monitors:
        monitor.choose_weights()
    if len(monitors) == 1 and monitors[0].fitted.error is not None:
        raise monitors[0].fitted.error


def _spend(
    progress: BudgetProgress, trainer: TrainingLoop, monitors: Sequence[SeedMonitor], callbacks: Callbacks
) -> None:
    """Train epoch by epoch until the budget is spent, from the checkpoint if there is one."""
    checkpoint = callbacks.checkpoint([monitor.fitted.seed for monitor in monitors])
    state = checkpoint.load() if checkpoint is not None else None
    epoch, seconds = 0, 0.0  # of the epochs before
    if state is not None:
        _restore(state, progress, trainer, monitors)
        epoch, seconds = state["epoch"], progress.spent
    while not progress.is_over:
        epoch += 1
        with progress.running():
            losses = trainer.epoch(progress, callbacks.on_step)
        trainer.synchronize()
        for monitor, its_losses in zip(monitors, losses, strict=True):
            monitor.end_epoch(its_losses, progress.spent - seconds, progress.steps)
            monitor.keep_snapshot(epoch, progress.share, callbacks)
        seconds = progress.spent
        if all(monitor.fitted.error is not None for monitor in monitors):
            break
        means = {name: fmean(each[name] for each in losses) for name in losses[0]}
        callbacks.on_epoch(epoch, means, progress.share)
        if len(monitors) == 1 and callbacks.after_epoch(monitors[0].model, progress.spent):
            break
        if checkpoint is not None and checkpoint.is_due:
            steps = counted(progress.steps, "step")
            checkpoint.save(_state(epoch, progress, trainer, monitors), f"epoch {epoch} ({steps})")


def _state(
    epoch: int, progress: BudgetProgress, trainer: TrainingLoop, monitors: Sequence[SeedMonitor]
) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "progress": {"steps": progress.steps, "spent": progress.spent},
        "global": global_state(),
        "trainer": trainer.state(),
        "monitors": [monitor.state() for monitor in monitors],
    }


def _restore(
    state: Mapping[str, Any], progress: BudgetProgress, trainer: TrainingLoop, monitors: Sequence[SeedMonitor]
) -> None:
    """Set everything to what ``_state`` returned, except the number of the epoch."""
    progress.steps, progress.spent = state["progress"]["steps"], state["progress"]["spent"]
    restore_global_state(state["global"])
    trainer.restore(state["trainer"])
    for monitor, its_state in zip(monitors, state["monitors"], strict=True):
        monitor.restore(its_state)


def built(recipe: Recipe, seed: int) -> nn.Module:
    """Return a model that is not trained yet, with the weights of the recipe's file if it has one.

    Raises:
        NotApplicable: the model cannot be built for this data.
        UsageError: the weights cannot be read or do not fit the model.
    """
    with global_seed(derive_seed("initialisation", seed)):
        model = new_model(recipe.factory, recipe.config, recipe.data)
    if recipe.weights is not None:
        load_weights(model, recipe.weights)
    return model.to(recipe.data.train.stored.device)


def _calibrated(recipe: Recipe, seed: int, model: nn.Module) -> nn.Module:
    if offers(model, Calibrates):
        device = recipe.data.train.stored.device
        with torch.no_grad():
            model.eval().calibrate(recipe.data.validation, Noise(derive_seed("calibration", seed), device))  # type: ignore[operator]
    return model.eval()
