"""Carries out a plan: fits what is not fitted, measures what is not measured, and keeps every record.

A cell's record is on disk before it is reported, and a failure of one cell does not affect the others. A model is
fitted only if a metric applies to it.
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from harness.contracts.events import Record, Values, failed
from harness.contracts.executors import Executor
from harness.data.source import Track, untracked
from harness.errors import DataError, StoreError
from harness.execution.events import Reporter
from harness.execution.failure import Failure
from harness.execution.figures import sound_figures
from harness.execution.jobs import Jobs, one_job
from harness.execution.pool import WorkerPool, prepare_elsewhere
from harness.execution.records import record_without_value
from harness.execution.remote import RemoteWorkers
from harness.execution.sharing import SharedWork
from harness.execution.specification import RunSpecification, WorkerContext
from harness.execution.task import Task, perform, prepare
from harness.execution.timings import rounds_kept, time_in_rounds
from harness.planning.component import Component
from harness.planning.identity import hash_of
from harness.planning.plan import Cell, Fit
from harness.registry import Registry
from harness.results.checkpoint import FileCheckpoint
from harness.results.curation import in_use
from harness.results.garbage import drop_leftovers
from harness.results.leases import Leases
from harness.results.store import Store


@dataclass
class Outcome:
    """The records of a plan's cells, by cell key, computed now or before.

    ``unrecorded`` are cells of the plan that are not in the store although the run was not interrupted.
    """

    records: dict[str, Record] = field(default_factory=dict)
    computed: int = 0
    interrupted: bool = False
    unrecorded: list[Cell] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """130: interrupted; 3: some cells failed or have no record; 4: nothing was measured; 0: all is well."""
        statuses = [record.status for record in self.records.values()]
        if self.interrupted:
            return 130
        if self.unrecorded or any(status in failed for status in statuses):
            return 3
        return 0 if "ok" in statuses else 4


class Run:
    """One execution of a plan: writes the records, shows the user what happens, and notifies the plugins.

    Args:
        specification: of the run.
        registry: the plugins.
        reporter: shows the user what happens.
        track: shows the progress of what takes long while data are loaded.
        executor: starts workers on other machines; its ``with`` block has begun when ``execute`` is called. None for
            this machine.

    Raises:
        UsageError: something in the request is wrong.
    """

    def __init__(
        self,
        specification: RunSpecification,
        registry: Registry,
        reporter: Reporter,
        track: Track = untracked,
        executor: Executor | None = None,
    ) -> None:
        self.specification = specification
        self.registry = registry
        self.reporter = reporter
        self.executor = executor
        self.plan = specification.plan(registry)
        self._cells = {cell.key: cell for cell in self.plan.cells}
        self._warned: set[str] = set()
        self.store = Store(specification.store, self.warn)
        self.context = WorkerContext(specification, registry, self, track)
        self._failed: dict[str, Failure] = {}
        self._fits_begun: dict[str, Sequence[Fit]] = {}
        self._cells_begun: dict[str, Cell] = {}
        self._leases = Leases(specification.store)
        self._records_read = self._size_at_start = self.store.records_size()
        stored = [] if specification.fresh else self.store.records()
        finished = {record.cell_key: record for record in stored if record.is_finished}
        self._done = {
            cell.key: finished[cell.key]
            for cell in self.plan.cells
            if cell.key in finished and self._is_whole(finished[cell.key])
        }
        self.outcome = Outcome(dict(self._done))
        for dataset in self.plan.datasets:
            if dataset.differs_from_published and dataset.content is not None:
                apart = f"results are kept apart as {dataset.name} (content {dataset.content.digest[:8]})"
                self.warn(f"{dataset.content.note}; {apart}")

    @property
    def pending(self) -> list[Cell]:
        """The cells that have no finished record."""
        return [cell for cell in self.plan.cells if cell.key not in self._done]

    def _is_whole(self, record: Record) -> bool:
        """Return whether the per-example values of a record, if any, are what was written."""
        try:
            self.store.check_values(record)
        except StoreError as error:
            self.warn(f"{error}; the cell is measured again")
            return False
        return True

    def is_fitted(self, fit: Fit) -> bool:
        """Return whether a fit is in the store and may be used."""
        return not self.specification.fresh and self.store.is_fitted(fit.key)

    @property
    def applicable(self) -> list[Cell]:
        """The pending cells whose model has all that the metric needs."""
        return [cell for cell in self.pending if cell.lacking is None]

    @cached_property
    def tasks(self) -> list[Task]:
        """The work that was pending at first, except timings: fits, or seeds trained as one, with their cells.

        On each data set, the first seed of every model comes before the second one of any, so that models can be
        compared, and the time of the rest be estimated, as soon as possible.
        """
        pending = self.applicable
        by_fit = {cell.fit.key: cell.fit for cell in pending}
        cells: dict[str, list[Cell]] = {key: [] for key in by_fit}
        for cell in pending:
            if cell.machine is None:
                cells[cell.fit.key].append(cell)
        wanted = [fit for fit in by_fit.values() if cells[fit.key] or not self.is_fitted(fit)]
        groups = [tuple(group) for _, group in itertools.groupby(wanted, _trained_together)]
        datasets = [dataset.canonical_identity for dataset in self.plan.datasets]
        groups.sort(key=lambda fits: (datasets.index(fits[0].dataset.canonical_identity), fits[0].seed))
        return [self._task(group, tuple(cell for fit in group for cell in cells[fit.key])) for group in groups]

    def _task(self, fits: tuple[Fit, ...], cells: tuple[Cell, ...]) -> Task:
        """Return the task of some fits and cells, which is isolated if it runs code of others, or if limits ask for it.

        Classes in memory are in this process only, so their tasks are not isolated.
        """
        components = [fits[0].dataset, fits[0].model, *(cell.metric for cell in cells)]
        if any(component.provided.plugin.is_in_memory for component in components):
            return Task(fits, cells)
        figures = self.registry.all("figure") if self.specification.figures else []
        draws = any(each.plugin.is_foreign for each in figures) and not all(map(self.is_fitted, fits))
        return Task(fits, cells, self.specification.limits.isolates or draws or _is_foreign(*components))

    def prepare(self) -> None:
        """Check the figures if models are to be trained, load every data set, and check models that come from files.

        What other distributions and plugin files provide is loaded in another process.

        Raises:
            UsageError: a figure of a plugin file that the user named does not keep its contract, or files do not suit
                the data set.
            DataError: all data sets are missing, incomplete or corrupt.
        """
        if self.specification.figures and any(not self.is_fitted(fit) for task in self.tasks for fit in task.fits):
            self.context.figures = sound_figures(self.registry, self.reporter.warn)
        by_dataset = {cell.fit.dataset.canonical_identity: cell.fit for cell in self.applicable}
        given = [cell.fit for cell in self.applicable if cell.fit.is_given]
        fits = list({fit.key: fit for fit in (*by_dataset.values(), *given)}.values())
        foreign = [fit for fit in fits if _is_foreign(fit.dataset, *([fit.model] if fit.is_given else []))]
        own = [fit for fit in fits if fit not in foreign]
        groups: list[Callable[[], dict[str, int | None]]] = []
        if own:
            groups.append(lambda: prepare(own, self.context))
        if foreign:
            groups.append(lambda: prepare_elsewhere(foreign, self.specification, self))
        errors: list[DataError] = []
        for load in groups:
            try:
                self.context.examples |= load()
            except DataError as error:
                errors.append(error)
        if errors and len(errors) == len(groups):
            raise errors[0]
        for each in errors:
            self.warn(f"{each}; the run goes on with the other data sets")

    def execute(self, jobs: Jobs = one_job) -> Outcome:
        """Compute what is pending, in this process, in several workers, or on other machines.

        Timings come last, when no other work of the run uses the machine.

        Raises:
            StoreError: a result could not be written; those before it are stored.
        """
        environment = self.specification.environment.as_json()
        drop_leftovers(self.store)  # of a run that was killed
        with in_use(self.store):
            self.store.write_environment(hash_of(environment), environment)
            with self._leases:
                outcome = self._execute(jobs)
        drop_leftovers(self.store)  # of workers that were ended
        return outcome

    def _execute(self, jobs: Jobs) -> Outcome:
        timings = [cell for cell in self.applicable if cell.machine is not None]
        shared = SharedWork(
            self._leases,
            self._take_results,
            lambda cell: cell.key in self._done,
            self.is_fitted,
            self.announce,
            fresh=self.specification.fresh,
        )

        def carry_out(tasks: Sequence[Task]) -> None:
            remote = None if self.executor is None else RemoteWorkers(self.specification, self.executor)
            in_workers = remote is not None or jobs.usual > 1
            for elsewhere, those in itertools.groupby(tasks, lambda task: task.isolated or in_workers):
                if elsewhere:
                    WorkerPool(list(those), self.specification, self, jobs, remote, shared.claim).work()
                    continue
                for task in those:
                    if (claimed := shared.claim(task)) is not None:
                        perform(claimed, self.context)

        try:
            with self._alone("cells that do not apply"):
                self._record_what_does_not_apply()
            shared.carry_out(self.tasks, carry_out)
            for cell in timings:
                if (failure := self._failed.get(cell.fit.key)) is not None:
                    self.cell_ended(cell, record_without_value(cell, failure, self.specification), None)
            # By now the fits of a fresh run are in the store.
            fitted = dataclasses.replace(self.specification, fresh=False)
            with self._alone("timings"):
                if self.specification.fresh:
                    shutil.rmtree(self._rounds.root, ignore_errors=True)
                left = [each for each in timings if each.key not in self._done and each.fit.key not in self._failed]
                time_in_rounds(left, fitted, self, self._rounds)
        except KeyboardInterrupt:
            self.outcome.interrupted = True
            return self.outcome
        written, _ = self.store.records_since(self._size_at_start)
        recorded = self._done.keys() | {record.cell_key for record in written}
        self.outcome.unrecorded = [cell for cell in self.plan.cells if cell.key not in recorded]
        return self.outcome

    @cached_property
    def _rounds(self) -> Store:
        """What is kept of timings that are not finished, on this machine with this software."""
        cells = (cell.key for cell in self.plan.cells if cell.machine is not None)
        return self.store.rounds_of([*cells, hash_of(self.specification.environment.as_json())])

    def timings_resume_after(self) -> int:
        """Return after which round unfinished timings will resume; 0 if they will begin again, or none have begun."""
        return rounds_kept(self._rounds, [each for each in self._cells_begun.values() if each.machine is not None])

    @contextmanager
    def _alone(self, work: str) -> Iterator[None]:
        """Do work of one kind within the block while no other run does; it may have stored some of the results."""
        with self._leases.alone(work, lambda: self.announce(f"waits for another run, which computes {work}")):
            self._take_results()
            yield

    def _take_results(self) -> None:
        """Take the results that other runs have stored since this one read the store."""
        if self.specification.fresh:
            return
        records, self._records_read = self.store.records_since(self._records_read)
        for record in records:
            cell = self._cells.get(record.cell_key)
            if cell is None or cell.key in self.outcome.records or not record.is_finished or not self._is_whole(record):
                continue
            self._done[cell.key] = self.outcome.records[cell.key] = record
            self.reporter.cell_reported(cell, record)

    def begun_fits(self) -> list[tuple[Sequence[Fit], list[str]]]:
        """Return fits that have not ended, each with the places from which it will resume, in words."""
        return [
            (fits, [done for fit in fits if (done := self._resumes_after(fit.key, "fit")) is not None])
            for fits in self._fits_begun.values()
            if any(self.store.fit(fit.key) is None or self.specification.fresh for fit in fits)
        ]

    def begun_measurements(self) -> list[tuple[Cell, str]]:
        """Return measurements that have not ended and will not start from the beginning, with their places."""
        cells = ((cell, self._resumes_after(cell.key, "measurement")) for cell in self._cells_begun.values())
        return [(cell, done) for cell, done in cells if done is not None]

    def _resumes_after(self, key: str, work: str) -> str | None:
        checkpoints = (FileCheckpoint(path, self.announce, work) for path in self.store.checkpoint_files(key))
        return next((done for each in checkpoints if (done := each.done) is not None), None)

    def _record_what_does_not_apply(self) -> None:
        for cell in self.pending:
            if cell.lacking is not None:
                failure = Failure("n/a", cell.lacking)
                self.cell_started(cell)
                self.cell_ended(cell, record_without_value(cell, failure, self.specification), None)

    def announce(self, line: str) -> None:
        """Show the user a line."""
        self.reporter.announce(line)

    def warn(self, line: str) -> None:
        """Show the user a warning, unless another process of the run has found the same."""
        if line not in self._warned:
            self._warned.add(line)
            self.reporter.warn(line)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        """Show it to the user."""
        self._fits_begun[fits[0].key] = fits
        self.reporter.fit_started(fits)

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        """Show it to the user and notify the plugins."""
        self.reporter.epoch_ended(fits, epoch, losses, progress)
        arguments = {"fits": fits, "epoch": epoch, "losses": losses, "progress": progress}
        self.registry.notify("harness_epoch_ended", self.reporter.warn, **arguments)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        """Show it to the user and notify the plugins."""
        self._fits_begun.pop(fits[0].key, None)
        self.reporter.fit_ended(fits, status, seconds)
        self.registry.notify("harness_fit_ended", self.reporter.warn, fits=fits, status=status, seconds=seconds)

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        """Remember it for the timings of the fit, for which the model would be trained again."""
        self._failed[fit.key] = failure

    def cell_started(self, cell: Cell) -> None:
        """Show it to the user and notify the plugins."""
        self._cells_begun[cell.key] = cell
        self._leases.release([cell.fit.key])  # the fit is stored, or has failed
        self.reporter.cell_started(cell)
        self.registry.notify("harness_cell_started", self.reporter.warn, cell=cell)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        """Show it to the user."""
        self.reporter.cell_progressed(cell, progress)

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        """Write the record, then show it to the user and notify the plugins."""
        record = self.store.append(record, values)
        self._cells_begun.pop(cell.key, None)
        if record.is_finished:
            self.store.checkpoint_file([cell.key]).unlink(missing_ok=True)
        self.outcome.records[cell.key] = record
        self.outcome.computed += 1
        self._leases.release([cell.key])
        self.reporter.cell_reported(cell, record)
        self.registry.notify("harness_cell_finished", self.reporter.warn, cell=cell, record=record)


def _is_foreign(*components: Component) -> bool:
    return any(component.provided.plugin.is_foreign for component in components)


def _trained_together(fit: Fit) -> str:
    """Return what fits that may be trained as one have in common."""
    return hash_of({**fit.identity, "seed": None}) if fit.engine.path == "vectorized" else fit.key
