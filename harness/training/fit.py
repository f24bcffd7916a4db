"""Fits models: builds them, trains them or lets them fit themselves, and keeps their curves."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import nn

from harness.contracts.models import Calibrates, FitsItself, offers
from harness.contracts.objectives import objectives_of
from harness.errors import NotApplicable, StoreError, no_exit
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise, derive_seed, global_seed, global_state, restore_global_state
from harness.planning.budget import BudgetProgress
from harness.training.monitor import SeedMonitor
from harness.training.pure_losses import Unsuited
from harness.training.recipe import Callbacks, Fitted, Recipe
from harness.training.trainer import Trainer
from harness.training.vectorized import VectorizedTrainer


def fit_seeds(
    recipe: Recipe, seeds: Sequence[int], *, vectorized: bool = False, callbacks: Callbacks = Callbacks()
) -> list[Fitted]:
    """Fit a model from each seed on ``data.train``, on the device of the data.

    With ``vectorized``, gradient models of several seeds are trained as one; a group that does not fit into memory is
    halved until it does, and a model that cannot be vectorised is trained seed by seed. Both are announced.
    """
    if not vectorized or len(seeds) == 1 or offers(recipe.factory, FitsItself):
        return [fit_seed(recipe, seed, callbacks) for seed in seeds]
    try:
        return _fit_together(recipe, seeds, callbacks)
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
        callbacks.announce(f"trained seed by seed, since the model cannot be vectorised: {reason}")
        alone = [fit_seed(recipe, seed, callbacks) for seed in seeds]
        for each in alone:
            each.fallback = "; ".join(filter(None, (reason, each.fallback)))
        return alone
    half = len(seeds) // 2
    callbacks.announce(f"{len(seeds)} seeds at once do not fit into memory: trying {len(seeds) - half} and {half}")
    parts = (seeds[: len(seeds) - half], seeds[len(seeds) - half :])
    return [each for part in parts for each in fit_seeds(recipe, part, vectorized=True, callbacks=callbacks)]


def fit_seed(recipe: Recipe, seed: int, callbacks: Callbacks = Callbacks()) -> Fitted:
    """Fit a model from one seed; ``curves`` tell the story of a fit that fails too.

    Raises:
        StoreError: a checkpoint could not be written.
    """
    fitted = Fitted(seed, group=(seed,))
    try:
        model = _built(recipe, seed)
        with no_exit(), global_seed(derive_seed("global", seed)):
            if offers(model, FitsItself):
                with torch.no_grad():
                    noise = Noise(derive_seed("data", seed), recipe.data.train.stored.device)
                    model.fit(recipe.data.train, noise)  # type: ignore[operator]
            else:
                _train(recipe, _trainer(recipe, model, seed), [SeedMonitor(recipe, fitted, model)], callbacks)
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
    if offers(recipe.factory, FitsItself):
        raise NotApplicable("it is fitted in closed form and takes no training steps")
    return _trainer(recipe, _built(recipe, seed), seed)


def _trainer(recipe: Recipe, model: nn.Module, seed: int) -> Trainer:
    objectives = objectives_of(model, recipe.config)
    return Trainer(model, objectives, recipe.data.train, recipe.budget.batch_size, seed, recipe.precision)


def _fit_together(recipe: Recipe, seeds: Sequence[int], callbacks: Callbacks) -> list[Fitted]:
    models = [_built(recipe, seed) for seed in seeds]
    trainer = VectorizedTrainer(
        models, recipe.config, recipe.data.train, recipe.budget.batch_size, seeds, recipe.precision
    )
    fits = [Fitted(seed, path="vectorized", group=tuple(seeds)) for seed in seeds]
    monitors = [SeedMonitor(recipe, fitted, model) for fitted, model in zip(fits, models, strict=True)]
    _train(recipe, trainer, monitors, callbacks)
    for fitted, monitor in zip(fits, monitors, strict=True):
        if fitted.error is None:
            try:
                fitted.model = _calibrated(recipe, fitted.seed, monitor.model)
            except Exception as error:
                fitted.error = error
    return fits


def _train(
    recipe: Recipe, trainer: Trainer | VectorizedTrainer, monitors: Sequence[SeedMonitor], callbacks: Callbacks
) -> None:
    """Spend the budget, in the way of the recipe, and note how that went.

    Raises:
        Diverged: the one model there is did.
        StoreError: a checkpoint could not be written.
    """
    progress = BudgetProgress(recipe.budget, len(trainer.sizes))
    with progress.running():  # compiling is part of training
        trainer.execute(recipe.step_mode, callbacks.announce)
    try:
        _spend(progress, trainer, monitors, callbacks)
    finally:
        trainer.finish()
        for monitor in monitors:
            monitor.fitted.step_mode, monitor.fitted.fallback = trainer.execution, trainer.fallback
    for monitor in monitors:
        monitor.choose_weights()
    if len(monitors) == 1 and monitors[0].fitted.error is not None:
        raise monitors[0].fitted.error


def _spend(
    progress: BudgetProgress,
    trainer: Trainer | VectorizedTrainer,
    monitors: Sequence[SeedMonitor],
    callbacks: Callbacks,
) -> None:
    """Take steps, epoch by epoch, until the budget is spent; go on from the checkpoint where there is one."""
    checkpoint = callbacks.checkpoint([monitor.fitted.seed for monitor in monitors])
    epoch, told = 0, 0.0
    if checkpoint is not None and (state := checkpoint.load()) is not None:
        epoch = state["epoch"]
        progress.steps, progress.spent = state["progress"]["steps"], state["progress"]["spent"]
        told = progress.spent
        restore_global_state(state["global"])
        trainer.restore(state["trainer"])
        for monitor, its_state in zip(monitors, state["monitors"], strict=True):
            monitor.restore(its_state)
    while not progress.is_over:
        epoch += 1
        with progress.running():
            losses = trainer.epoch(progress)
        trainer.synchronize()
        for monitor, its_losses in zip(monitors, losses, strict=True):
            monitor.end_epoch(its_losses, progress.spent - told, progress.steps)
            monitor.keep_snapshot(epoch, progress.progress, callbacks)
        told = progress.spent
        if all(monitor.fitted.error is not None for monitor in monitors):
            break
        means = {name: fmean(each[name] for each in losses) for name in losses[0]}
        callbacks.on_epoch(epoch, means, progress.progress)
        if len(monitors) == 1 and callbacks.after_epoch(monitors[0].model, progress.spent):
            break
        if checkpoint is not None and checkpoint.is_due:
            state = {
                "epoch": epoch,
                "progress": {"steps": progress.steps, "spent": progress.spent},
                "global": global_state(),
                "trainer": trainer.state(),
                "monitors": [monitor.state() for monitor in monitors],
            }
            checkpoint.save(state, f"{progress.steps:,} steps")


def _built(recipe: Recipe, seed: int) -> nn.Module:
    device = recipe.data.train.stored.device
    with global_seed(derive_seed("initialisation", seed)):
        return recipe.factory(recipe.data.info, recipe.config).to(device)


def _calibrated(recipe: Recipe, seed: int, model: nn.Module) -> nn.Module:
    if offers(model, Calibrates):
        device = recipe.data.train.stored.device
        with torch.no_grad():
            model.eval().calibrate(recipe.data.validation, Noise(derive_seed("calibration", seed), device))  # type: ignore[operator]
    return model.eval()
