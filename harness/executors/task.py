"""A task: fits that are made together, and the cells that are measured on them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from harness.budget import Budget
from harness.cell import Failure, Provenance, Tools, failure_of, measure_cell, now, record_without_value
from harness.checkpoint import Checkpoint
from harness.data import Data, DataSource
from harness.datasets import load_dataset
from harness.device import using_threads
from harness.errors import DataError, StoreError
from harness.figures import draw_figures, snapshot_samples
from harness.load import cores
from harness.plan import Cell, Chosen, Fit, hash_of
from harness.plugins import Registry
from harness.store import Record, Store, Values
from harness.training import Companions, Fitted, Recipe, fit_seeds

_seconds_between_tellings = 2.0
_no_budget = Budget(epochs=1)  # what a closed-form fit is handed, and does not look at


class Reporter(Protocol):
    """Tells the user how the work is getting on."""

    def announce(self, line: str) -> None:
        """Take a line for the user."""

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Hear that models begin to train together."""

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Hear an epoch's mean losses, and the share of the budget that is spent."""

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Hear how they ended."""


class Observer(Protocol):
    """Hears of the cells, and has a reporter for the rest."""

    @property
    def reporter(self) -> Reporter:
        """Who tells the user."""

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        """Hear that there will be no model of a fit in this run."""

    def cell_started(self, cell: Cell) -> None:
        """Hear that a cell is about to be computed."""

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Hear what share of a long measurement is done."""

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        """Take the record of a cell and its per-example values."""


@dataclass(frozen=True)
class Task:
    """Fits that differ in nothing but the seed, and the cells to be measured on them; there may be none."""

    fits: tuple[Fit, ...]
    cells: tuple[Cell, ...]


@dataclass
class Bench:
    """What work is done with: the store, the device, the plugins, and the data sets once they are loaded."""

    store: Store
    device: torch.device
    source: DataSource
    provenance: Provenance
    registry: Registry
    fresh: bool = False
    figures: bool = True
    loaded: dict[str, Data | Failure] = field(default_factory=dict)

    def data(self, dataset: Chosen) -> Data | Failure:
        """Return a data set, or why it cannot be had.

        Raises:
            DataError: it is missing, incomplete or corrupt.
        """
        key = hash_of(dataset.identity)
        if key not in self.loaded:
            try:
                spec = dataset.provided.spec
                self.loaded[key] = load_dataset(spec, dataset.config, self.source).to(self.device)  # type: ignore[arg-type]
            except DataError:
                raise
            except Exception as error:
                self.loaded[key] = failure_of(error)
        return self.loaded[key]


def perform(task: Task, bench: Bench, observer: Observer) -> None:
    """Fit what is not fitted and measure the cells; what fails becomes a record and stops nothing else.

    Raises:
        StoreError: a fit could not be written.
        DataError: the data set is missing, incomplete or corrupt.
    """
    data = bench.data(task.fits[0].dataset)
    models = _models(task, data, bench, observer)
    for fit in task.fits:
        if isinstance(failure := models[fit.key], Failure):
            observer.fit_failed(fit, failure)
    for cell in task.cells:
        observer.cell_started(cell)
        model = models[cell.fit.key]
        if isinstance(model, Failure):
            record, values = record_without_value(cell, model, bench.provenance), None
        else:
            assert isinstance(data, Data)
            tools = _tools(cell, bench, observer)
            # A timing has the machine to itself, and all of it.
            with using_threads(cores() if cell.machine else cell.fit.engine.threads):
                record, values = measure_cell(cell, model, data, bench.provenance, tools)
        observer.cell_ended(cell, record, values)


def _tools(cell: Cell, bench: Bench, observer: Observer) -> Tools:
    def announce(line: str) -> None:
        observer.reporter.announce(f"{cell.metric.name} of {cell.fit.model.name}: {line}")

    checkpoint = Checkpoint(bench.store.checkpoint_file([cell.key]), announce, "measurement")
    if bench.fresh:
        checkpoint.remove()

    told = time.monotonic()

    def progress(share: float) -> None:
        nonlocal told
        if time.monotonic() - told > _seconds_between_tellings:
            told = time.monotonic()
            observer.cell_progressed(cell, share)

    return Tools(bench.registry, bench.source.cache_dir, checkpoint, announce, progress)


def _models(task: Task, data: Data | Failure, bench: Bench, observer: Observer) -> dict[str, nn.Module | Failure]:
    """Return the model of every fit, by its key, from the store or newly trained, or why there is none."""
    if isinstance(data, Failure):
        return {fit.key: data for fit in task.fits}
    announce = observer.reporter.announce
    stored = {fit.key: stored_model(fit, data, bench.store, announce) for fit in task.fits if not bench.fresh}
    models = {key: model for key, model in stored.items() if model is not None}
    missing = [fit for fit in task.fits if fit.key not in models]
    return models | _train(missing, data, bench, observer) if missing else models


def stored_model(fit: Fit, data: Data, store: Store, announce: Callable[[str], None]) -> nn.Module | Failure | None:
    """Return the fitted model, on the device of the data, or how its fit failed; None where it has to be trained."""
    known = store.fit(fit.key)
    if known is None:
        return None
    if known["status"] != "ok":
        return Failure(known["status"], known["reason"])
    try:
        model = fit.model.factory(data.info, fit.model.config)
        model.load_state_dict(store.weights(fit.key))
        return model.to(data.test.stored.device).eval()  # type: ignore[no-any-return]
    except (StoreError, RuntimeError) as error:
        announce(f"stored weights of {fit.model.name} are unusable ({error}); it has to be trained again")
        return None


def _train(fits: Sequence[Fit], data: Data, bench: Bench, observer: Observer) -> dict[str, nn.Module | Failure]:
    first = fits[0]
    recipe = Recipe(
        first.model.factory,
        first.model.config,
        data,
        first.budget or _no_budget,
        first.engine.precision,
        first.engine.execution,
    )
    observer.reporter.fit_started(fits)
    started, start = now(), time.perf_counter()
    checkpoints: list[Checkpoint] = []

    def checkpoint(seeds: Sequence[int]) -> Checkpoint:
        keys = [fit.key for fit in fits if fit.seed in seeds]
        checkpoints.append(Checkpoint(bench.store.checkpoint_file(keys), observer.reporter.announce))
        if bench.fresh:
            checkpoints[-1].remove()
        return checkpoints[-1]

    def on_epoch(epoch: int, losses: Mapping[str, float], progress: float) -> None:
        observer.reporter.epoch_ended(fits, epoch, losses, progress)

    with using_threads(first.engine.threads):
        ended = fit_seeds(
            recipe,
            [fit.seed for fit in fits],
            vectorized=first.engine.path == "vectorized",
            companions=Companions(
                on_epoch=on_epoch,
                announce=observer.reporter.announce,
                checkpoint=checkpoint,
                snapshots=snapshot_samples if bench.figures else 0,
            ),
        )
    seconds = time.perf_counter() - start
    failures = [failure_of(fitted.error) if fitted.error else _unstorable(fitted.model) for fitted in ended]
    statuses = dict.fromkeys(failure.status if failure else "ok" for failure in failures)
    observer.reporter.fit_ended(fits, ", ".join(statuses), seconds)
    models: dict[str, nn.Module | Failure] = {}
    for fit, fitted, failure in zip(fits, ended, failures, strict=True):
        models[fit.key] = failure or fitted.model  # type: ignore[assignment]
        if failure is None or failure.status == "diverged":
            description = {"seconds": seconds, "started": started, **_described(fit, fitted, failure, bench)}
            weights = fitted.model.state_dict() if fitted.model else None
            bench.store.write_fit(fit.key, description, weights, fitted.snapshots)
        if failure is None and fitted.model is not None and bench.figures:
            draw_figures(fit, fitted.model, data, bench.store, bench.registry, observer.reporter.announce)
    for each in checkpoints:
        each.remove()
    return models


def _unstorable(model: nn.Module | None) -> Failure | None:
    state = model.state_dict() if model else {}
    others = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    return Failure("error", f"its state cannot be stored: {', '.join(others)} is no tensor") if others else None


def _described(fit: Fit, fitted: Fitted, failure: Failure | None, bench: Bench) -> dict[str, object]:
    return {
        "identity": fit.identity,
        "status": failure.status if failure else "ok",
        "reason": failure.reason if failure else None,
        "parameters": sum(each.numel() for each in fitted.model.parameters()) if fitted.model else None,
        "path": fitted.path,
        "execution": fitted.execution,
        "group": list(fitted.group),
        "fallback": fitted.fallback,
        "curves": dataclasses.asdict(fitted.curves),
        "environment": bench.provenance.environment,
        "ended": now(),
    }
