"""Carries out a plan in this process: loads data, fits what is not fitted, measures what is not measured.

Every cell's record is on disk before the next begins; a fault in one cell leaves the others alone.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import nn

from harness.cell import Failure, Provenance, failure_of, measure_cell, now, record_without_value
from harness.data import Data, DataSource
from harness.datasets import load_dataset
from harness.environment import Environment, describe_commit
from harness.errors import DataError, StoreError
from harness.plan import Budget, Cell, Chosen, Fit, Plan, hash_of
from harness.plugins import Registry
from harness.store import Record, Store, failed
from harness.training import Curves, fit_model


class Reporter(Protocol):
    """Hears how a run is getting on."""

    def announce(self, line: str) -> None:
        """Take a line for the user."""

    def fit_started(self, fit: Fit, epochs: int) -> None:
        """Hear that a model begins to train, for so many epochs (0: closed form)."""

    def epoch_ended(self, epoch: int, losses: Mapping[str, float]) -> None:
        """Hear an epoch's mean losses."""

    def fit_ended(self, fit: Fit, status: str, seconds: float) -> None:
        """Hear how a fit ended."""

    def cell_ended(self, cell: Cell, record: Record) -> None:
        """Hear that a cell's record is on disk."""


@dataclass
class Outcome:
    """The records of a plan's cells, by cell key, computed now or before."""

    records: dict[str, Record] = field(default_factory=dict)
    computed: int = 0
    interrupted: bool = False

    @property
    def exit_code(self) -> int:
        """130 interrupted; 3 some cells failed; 4 nothing was measured; 0 all well."""
        statuses = [record.status for record in self.records.values()]
        if self.interrupted:
            return 130
        if any(status in failed for status in statuses):
            return 3
        return 0 if "ok" in statuses else 4


class Run:
    """One execution of a plan against a store."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        registry: Registry,
        reporter: Reporter,
        device: torch.device,
        environment: Environment,
        *,
        fresh: bool = False,
    ) -> None:
        self.plan = plan
        self.store = store
        self.registry = registry
        self.reporter = reporter
        self.device = device
        self.environment = environment
        self.fresh = fresh
        stored = {} if fresh else {record.cell_key: record for record in store.records()}
        self._done = {key: record for key, record in stored.items() if record.is_finished}
        self.outcome = Outcome({cell.key: self._done[cell.key] for cell in plan.cells if cell.key in self._done})

    def pending(self, fit: Fit) -> list[Cell]:
        """Return the cells of a fit that have no finished record."""
        return [cell for cell in self.plan.cells_of(fit) if cell.key not in self._done]

    def execute(self, data_of: Mapping[str, Data | Failure]) -> Outcome:
        """Compute what is pending. ``data_of`` comes from ``load_data``.

        Raises:
            StoreError: a result could not be written; those before it are stored.
        """
        description = self.environment.as_json()
        provenance = Provenance(hash_of(description), describe_commit())
        self.store.write_environment(provenance.environment, description)
        try:
            for fit in self.plan.fits:
                self._execute_fit(fit, data_of, provenance)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        return self.outcome

    def load_data(self, source: DataSource) -> dict[str, Data | Failure]:
        """Load every data set that a pending cell needs, by the hash of its identity.

        Raises:
            DataError: one is missing, incomplete or corrupt.
        """
        needed = {hash_of(fit.dataset.identity): fit.dataset for fit in self.plan.fits if self.pending(fit)}
        return {key: self._load(dataset, source) for key, dataset in needed.items()}

    def _load(self, dataset: Chosen, source: DataSource) -> Data | Failure:
        try:
            return load_dataset(dataset.provided.spec, dataset.config, source).to(self.device)  # type: ignore[arg-type]
        except DataError:
            raise
        except Exception as error:
            return failure_of(error)

    def _execute_fit(self, fit: Fit, data_of: Mapping[str, Data | Failure], provenance: Provenance) -> None:
        pending = self.pending(fit)
        if not pending:
            return
        data = data_of[hash_of(fit.dataset.identity)]
        model = data if isinstance(data, Failure) else self._model(fit, data)
        for cell in pending:
            self.registry.notify("harness_cell_started", cell=cell)
            values = None
            if isinstance(model, Failure) or isinstance(data, Failure):
                record = record_without_value(cell, model, provenance)  # type: ignore[arg-type]
            else:
                record, values = measure_cell(cell, model, data, provenance)
            self.store.append(record, values)
            self.outcome.records[cell.key] = record
            self.outcome.computed += 1
            self.reporter.cell_ended(cell, record)
            self.registry.notify("harness_cell_finished", cell=cell, record=record)

    def _model(self, fit: Fit, data: Data) -> nn.Module | Failure:
        known = None if self.fresh else self.store.fit(fit.key)
        if known is not None:
            if known["status"] != "ok":
                return Failure(known["status"], known["reason"])
            try:
                model = fit.model.factory(data.info, fit.model.config)
                model.load_state_dict(self.store.weights(fit.key))
                return model.to(self.device).eval()  # type: ignore[no-any-return]
            except (StoreError, RuntimeError) as error:
                self.reporter.announce(f"stored weights of {fit.model.name} are unusable ({error}); training again")
        return self._train(fit, data)

    def _train(self, fit: Fit, data: Data) -> nn.Module | Failure:
        curves, started, start = Curves(), now(), time.perf_counter()
        budget = fit.budget or Budget()
        self.reporter.fit_started(fit, fit.budget.epochs if fit.budget else 0)
        model: nn.Module | None = None
        failure = None
        try:
            model = fit_model(
                fit.model.factory,
                fit.model.config,
                data,
                seed=fit.seed,
                epochs=budget.epochs,
                batch_size=budget.batch_size,
                curves=curves,
                on_epoch=self.reporter.epoch_ended,
            )
        except Exception as error:
            failure = failure_of(error)
        seconds = time.perf_counter() - start
        status = failure.status if failure else "ok"
        self.reporter.fit_ended(fit, status, seconds)
        if status in ("ok", "diverged"):
            description = {
                "identity": fit.identity,
                "status": status,
                "reason": failure.reason if failure else None,
                "parameters": sum(each.numel() for each in model.parameters()) if model else None,
                "curves": dataclasses.asdict(curves),
                "seconds": seconds,
                "environment": hash_of(self.environment.as_json()),
                "started": started,
                "ended": now(),
            }
            self.store.write_fit(fit.key, description, model.state_dict() if model else None)
        return failure or model  # type: ignore[return-value]
