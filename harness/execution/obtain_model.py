"""Models of fits: loaded from the store, or trained and stored."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from harness.contracts.outputs import attempted, attempted_codes, unequal
from harness.data.dataset import Data
from harness.errors import StoreError, no_exit
from harness.execution.failure import Failure, failure_of
from harness.execution.figures import draw_figures, snapshot_samples
from harness.execution.integrity import ChangedError
from harness.execution.records import now
from harness.execution.specification import WorkerContext
from harness.machine.device import using_threads
from harness.noise import Noise, derive_seed
from harness.planning.identity import hash_of
from harness.planning.plan import Fit
from harness.results.checkpoint import FileCheckpoint
from harness.results.store import Store
from harness.training.fit import fit_seeds
from harness.training.recipe import Callbacks, Fitted, Recipe, new_model

_compared = 16  # examples
_remedy = "keep what a fit finds in parameters or buffers, as by self.register_buffer; plain attributes are not stored"


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
    for fit in fits if not context.specification.fresh else ():
        try:
            with context.guarded([fit.model.provided], fit.dataset, fit.key):
                stored = stored_model(fit, data, context.store, context.events.warn)
        except ChangedError as error:
            stored = failure_of(error)
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
        return _loaded(fit, data, store.weights(fit.key))


def _loaded(fit: Fit, data: Data, state: Mapping[str, Tensor]) -> nn.Module:
    model = new_model(fit.model.factory, fit.model.config, data)
    model.load_state_dict(state)
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
    vectorized, recipe, seeds = first.engine.path == "vectorized", Recipe.of(first, data), [fit.seed for fit in fits]
    try:
        with using_threads(first.engine.threads), context.guarded([first.model.provided], first.dataset, first.key):
            ended = fit_seeds(recipe, seeds, vectorized=vectorized, callbacks=callbacks)
    except ChangedError as error:
        ended = [Fitted(seed, error=error) for seed in seeds]
    seconds = time.perf_counter() - start
    failures = [
        failure_of(fitted.error) if fitted.error else _unstorable(fit, fitted.model, data, context)
        for fit, fitted in zip(fits, ended, strict=True)
    ]
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
            _draw_figures(fit, fitted.model, context)
    for each in checkpoints:
        each.remove()
    return models


def _draw_figures(fit: Fit, model: nn.Module, context: WorkerContext) -> None:
    """Draw the figures of a fit one by one, so that none sees what another has changed."""
    for provided in context.figures:
        data = context.data(fit.dataset)
        if isinstance(data, Failure):
            return
        try:
            with context.guarded([provided, fit.model.provided], fit.dataset, fit.key, model):
                draw_figures(fit, model, data, context.store, [provided], context.events.warn)
        except ChangedError as error:
            context.events.warn(f"the figure {provided.spec.name} of {fit.model.name}: {error}")


def _unstorable(fit: Fit, model: nn.Module | None, data: Data, context: WorkerContext) -> Failure | None:
    """Return why a model cannot be stored, or would be another one once it is loaded."""
    state = model.state_dict() if model else {}
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if others:
        return Failure("error", f"its state cannot be stored: {', '.join(others)} is not a tensor")
    if model is None or fit.model.provided.plugin.is_own:
        return None
    try:
        with no_exit(), context.guarded([fit.model.provided], fit.dataset, fit.key, model):
            loaded = _loaded(fit, data, {name: value.clone() for name, value in state.items()})
            x = data.validation.subset(_compared).all(Noise(derive_seed("loaded"), data.validation.stored.device))
            z = attempted_codes(model, x)
            lost = unequal(attempted(model, x, z), attempted(loaded, x, z))
    except Exception as error:
        return failure_of(error)
    if not lost:
        return None
    reason = f"a copy that is loaded from its state_dict has another {', '.join(lost)}: {_remedy}"
    return Failure("error", reason)


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
