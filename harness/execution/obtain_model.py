"""Models of fits: loaded from the store, or trained and stored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from harness.data.dataset import Data
from harness.errors import StoreError, no_exit
from harness.execution.failure import Failure, failure_of
from harness.execution.figures import draw_figures, snapshot_samples
from harness.execution.records import now
from harness.execution.specification import WorkerContext
from harness.machine.device import using_threads
from harness.planning.identity import hash_of
from harness.planning.plan import Fit
from harness.results.checkpoint import FileCheckpoint
from harness.results.store import Store
from harness.training.fit import fit_seeds
from harness.training.recipe import Callbacks, Fitted, Recipe


def obtain_models(fits: Sequence[Fit], data: Data | Failure, context: WorkerContext) -> dict[str, nn.Module | Failure]:
    """Return the model of every fit by its key, from the store or newly trained, or why there is none.

    Args:
        fits: that differ only in their seeds; those that are not stored are trained together.
        data: of the fits, on the device.
        context: of this process.

    Raises:
        StoreError: a fit could not be written.
    """
    if isinstance(data, Failure):
        return {fit.key: data for fit in fits}
    models: dict[str, nn.Module | Failure] = {}
    for fit in fits:
        if not context.specification.fresh:
            stored = stored_model(fit, data, context.store, context.events.warn)
            if stored is not None:
                models[fit.key] = stored
    missing = [fit for fit in fits if fit.key not in models]
    return models | _train(missing, data, context) if missing else models


def stored_model(fit: Fit, data: Data, store: Store, warn: Callable[[str], None]) -> nn.Module | Failure | None:
    """Return the fitted model, on the device of the data, or how its fit failed; None if it has to be trained."""
    known = store.fit(fit.key)
    if known is None:
        return None
    if known["status"] != "ok":
        return Failure(known["status"], known["reason"])
    try:
        return load_model(fit, data, store)
    except (StoreError, RuntimeError) as error:
        warn(f"stored weights of {fit.model.name} are unusable ({error}); the model is trained again")
        return None
    except Exception as error:
        return failure_of(error)


def load_model(fit: Fit, data: Data, store: Store) -> nn.Module:
    """Return the model of a fit that is in the store, on the device of the data, in evaluation mode.

    Raises:
        StoreError: the weights are missing or damaged.
        Exception: the model cannot be built for the data, or does not take the weights.
    """
    with no_exit():
        model: nn.Module = fit.model.factory(data.info, fit.model.config)
        model.load_state_dict(store.weights(fit.key))
        return model.to(data.test.stored.device).eval()


def _train(fits: Sequence[Fit], data: Data, context: WorkerContext) -> dict[str, nn.Module | Failure]:
    first, events = fits[0], context.events
    checkpoints: list[FileCheckpoint] = []

    def checkpoint(seeds: Sequence[int]) -> FileCheckpoint:
        keys = [fit.key for fit in fits if fit.seed in seeds]
        checkpoints.append(context.checkpoint(keys, events.announce))
        return checkpoints[-1]

    def on_epoch(epoch: int, losses: Mapping[str, float], progress: float) -> None:
        events.epoch_ended(fits, epoch, losses, progress)

    snapshots = snapshot_samples if context.specification.figures else 0
    callbacks = Callbacks(context.beat, on_epoch, announce=events.announce, checkpoint=checkpoint, snapshots=snapshots)
    events.fit_started(fits)
    started, start = now(), time.perf_counter()
    with using_threads(first.engine.threads):
        vectorized = first.engine.path == "vectorized"
        ended = fit_seeds(
            Recipe.of(first, data), [fit.seed for fit in fits], vectorized=vectorized, callbacks=callbacks
        )
    seconds = time.perf_counter() - start
    failures = [failure_of(fitted.error) if fitted.error else _unstorable(fitted.model) for fitted in ended]
    statuses = dict.fromkeys(failure.status if failure else "ok" for failure in failures)
    events.fit_ended(fits, ", ".join(statuses), seconds)
    models: dict[str, nn.Module | Failure] = {}
    for fit, fitted, failure in zip(fits, ended, failures, strict=True):
        models[fit.key] = failure or fitted.model  # type: ignore[assignment]
        if failure is None or failure.status == "diverged":
            description = {"seconds": seconds, "started": started, **_described(fit, fitted, failure, context)}
            weights = fitted.model.state_dict() if fitted.model else None
            context.store.write_fit(fit.key, description, weights, fitted.snapshots)
        if failure is None and fitted.model is not None and context.specification.figures:
            draw_figures(fit, fitted.model, data, context.store, context.figures, events.warn)
    for each in checkpoints:
        each.remove()
    return models


def _unstorable(model: nn.Module | None) -> Failure | None:
    state = model.state_dict() if model else {}
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    return Failure("error", f"its state cannot be stored: {', '.join(others)} is not a tensor") if others else None


def _described(fit: Fit, fitted: Fitted, failure: Failure | None, context: WorkerContext) -> dict[str, object]:
    weights = str(fit.model.weights) if fit.model.weights else None
    files = {"dataset": fit.dataset.files, "model": fit.model.files, "weights": weights}
    return {
        "identity": fit.identity,
        "status": failure.status if failure else "ok",
        "reason": failure.reason if failure else None,
        "parameters": sum(each.numel() for each in fitted.model.parameters()) if fitted.model else None,
        "path": fitted.path,
        "execution": fitted.step_mode,
        "group": list(fitted.group),
        "fallback": fitted.fallback,
        "curves": dataclasses.asdict(fitted.curves),
        "environment": hash_of(context.specification.environment.as_json()),
        "ended": now(),
        **({"files": files} if any(files.values()) else {}),
    }
