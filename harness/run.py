"""Carries out a plan: fits what is not fitted, measures what is not measured, and keeps every record.

A cell's record is on disk before it is reported; a fault in one cell leaves the others alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch

from harness.cell import Failure, Provenance, record_without_value
from harness.data import DataSource
from harness.environment import Environment, describe_commit
from harness.executors import Bench, Blueprint, Jobs, Reporter, Task, perform, perform_in_workers
from harness.plan import Cell, Fit, Plan, hash_of
from harness.plugins import Registry
from harness.store import Record, Store, Values, failed


class RunReporter(Reporter, Protocol):
    """Tells the user of the records too."""

    def cell_reported(self, cell: Cell, record: Record) -> None:
        """Hear that a cell's record is on disk."""

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Hear what share of a long measurement is done."""


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
        reporter: RunReporter,
        device: torch.device,
        environment: Environment,
        *,
        fresh: bool = False,
        figures: bool = True,
    ) -> None:
        self.plan = plan
        self.store = store
        self.registry = registry
        self.reporter = reporter
        self.device = device
        self.environment = environment
        self.fresh = fresh
        self.figures = figures
        self._failed: dict[str, Failure] = {}
        stored = {} if fresh else {record.cell_key: record for record in store.records()}
        self._done = {key: record for key, record in stored.items() if record.is_finished}
        self.outcome = Outcome({cell.key: self._done[cell.key] for cell in plan.cells if cell.key in self._done})

    @cached_property
    def provenance(self) -> Provenance:
        """What the records of this run have in common."""
        return Provenance(hash_of(self.environment.as_json()), describe_commit())

    @property
    def pending(self) -> list[Cell]:
        """The cells that have no finished record."""
        return [cell for cell in self.plan.cells if cell.key not in self._done]

    def is_fitted(self, fit: Fit) -> bool:
        """Tell whether a fit is in the store and may be used."""
        return not self.fresh and self.store.fit(fit.key) is not None

    def tasks(self) -> list[Task]:
        """Divide what is pending, timings apart, into tasks: a fit, or seeds that are trained as one, and its cells."""
        pending = self.pending
        by_fit = {cell.fit.key: cell.fit for cell in pending}
        cells: dict[str, list[Cell]] = {key: [] for key in by_fit}
        for cell in pending:
            if cell.machine is None:
                cells[cell.fit.key].append(cell)
        wanted = [fit for fit in by_fit.values() if cells[fit.key] or not self.is_fitted(fit)]
        groups = [list(group) for _, group in itertools.groupby(wanted, _trained_together)]
        return [Task(tuple(group), tuple(cell for fit in group for cell in cells[fit.key])) for group in groups]

    def bench(self, source: DataSource) -> Bench:
        """Return what the work is done with, every data set that is needed loaded.

        Raises:
            DataError: one is missing, incomplete or corrupt.
        """
        bench = Bench(self.store, self.device, source, self.provenance, self.registry, self.fresh, self.figures)
        for cell in self.pending:
            bench.data(cell.fit.dataset)
        return bench

    def execute(self, bench: Bench, blueprint: Blueprint | None = None, jobs: Jobs | None = None) -> Outcome:
        """Compute what is pending: in this process, or by several workers that are told of the run by ``blueprint``.

        Timings come last, one by one in this process, which then has the machine and its cores to itself.

        Raises:
            StoreError: a result could not be written; those before it are stored.
        """
        self.store.write_environment(self.provenance.environment, self.environment.as_json())
        tasks = self.tasks()
        timings = [cell for cell in self.pending if cell.machine is not None]
        try:
            if blueprint is not None and jobs is not None and jobs.usual > 1:
                perform_in_workers(tasks, blueprint, self, jobs)
            else:
                for task in tasks:
                    perform(task, bench, self)
            fitted = replace(bench, fresh=False)
            for key, group in itertools.groupby(timings, lambda cell: cell.fit.key):
                cells = tuple(group)
                if key in self._failed:
                    for cell in cells:
                        self.cell_ended(cell, record_without_value(cell, self._failed[key], self.provenance), None)
                else:
                    perform(Task((cells[0].fit,), cells), fitted, self)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
        return self.outcome

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        """Remember it for its timings, which would have to train it again."""
        self._failed[fit.key] = failure

    def cell_started(self, cell: Cell) -> None:
        """Tell the plugins."""
        self.registry.notify("harness_cell_started", cell=cell)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Tell the user."""
        self.reporter.cell_progressed(cell, progress)

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        """Write the record, then tell the user and the plugins."""
        self.store.append(record, values)
        if record.is_finished:
            self.store.checkpoint_file([cell.key]).unlink(missing_ok=True)
        self.outcome.records[cell.key] = record
        self.outcome.computed += 1
        self.reporter.cell_reported(cell, record)
        self.registry.notify("harness_cell_finished", cell=cell, record=record)


def _trained_together(fit: Fit) -> str:
    """Return what fits have in common that may be trained as one."""
    return hash_of({**fit.identity, "seed": None}) if fit.engine.path == "vectorized" else fit.key
