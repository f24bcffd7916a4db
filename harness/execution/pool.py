"""Tasks carried out by workers side by side: handed out, watched, compared with limits, and recorded if they fail.

A worker that ends, or that is ended since it exceeds a limit, costs the fit or the cell that it was computing. The
other cells of its task are measured by another worker.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from harness.execution.events import Events
from harness.execution.failure import Failure
from harness.execution.interruption import held_back
from harness.execution.jobs import Jobs, one_job
from harness.execution.limits import in_bytes
from harness.execution.records import record_without_value
from harness.execution.specification import RunSpecification
from harness.execution.task import Task
from harness.execution.workers import Assignment, End, LocalWorkers, Message, Worker, Workers
from harness.planning.identity import hash_of
from harness.planning.plan import Cell, Fit

_grace = 1.0  # seconds between SIGTERM and SIGKILL
_near = 0.8  # of the limit of memory: a process that is killed there has run out of memory
_most_losses = 3  # of machines, by one task
_kernel_counts = Path("/proc/vmstat")

# What a worker does: it starts; loads data and stored models; trains; stores the fit and draws its figures; measures.
Stage = Literal["starting", "loading", "fit", "figures", "cell", "between cells"]
_without_models = ("starting", "loading", "fit")
_no_events = ("is_ready", "beat", "task_ended", "failed")  # what a worker sends that is no method of ``Events``


@dataclass
class _Current:
    """A worker, its task, and what it does at the moment."""

    worker: Worker
    task: Task
    open: dict[str, Cell]  # those that have not ended
    is_fitted: bool
    memory_kills: int
    stage: Stage = "starting"
    cell: str = ""  # the key of the one that is measured
    fits: Sequence[Fit] = ()  # that are trained together
    since: float = field(default_factory=time.monotonic)
    progressed: float = field(default_factory=time.monotonic)
    most_memory: int = 0

    @property
    def place(self) -> tuple[Stage, str, Sequence[Fit]]:
        """What is computed."""
        return self.stage, self.cell, self.fits

    @property
    def seconds(self) -> float:
        """How long the stage has taken."""
        return time.monotonic() - self.since

    @property
    def has_models(self) -> bool:
        """Whether the fits of the task are in the store."""
        return self.is_fitted or self.stage not in _without_models

    def enter(self, stage: Stage, cell: str = "", fits: Sequence[Fit] = ()) -> None:
        """Note what begins."""
        self.stage, self.cell, self.fits = stage, cell, fits
        self.since = time.monotonic()


class WorkerPool:
    """Hands tasks to workers and passes on what they send.

    A task that is isolated has a worker of its own. A fit or a measurement that found no memory beside other workers is
    computed once more, when no other worker is left.

    Args:
        tasks: in the order in which they are begun.
        specification: of the run.
        events: receives what happens.
        jobs: how many workers there may be.
        workers: starts workers and ends them; by default processes of this machine.
        claim: called before a task is begun; returns the part of it that is to be carried out now, or None.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        specification: RunSpecification,
        events: Events,
        jobs: Jobs,
        workers: Workers | None = None,
        claim: Callable[[Task], Task | None] = lambda task: task,
    ) -> None:
        self.unclaimed = list(tasks)
        self.claim = claim
        self.waiting: list[tuple[Task, bool]] = []  # claimed, with whether their fits were stored by this run
        self.specification = specification
        self.limits = specification.limits
        self.events = events
        self.jobs = jobs
        self.workers = workers or LocalWorkers(specification)
        self.fits = {fit.key: fit for task in tasks for fit in task.fits}
        self.cells = {cell.key: cell for task in tasks for cell in task.cells}
        self.current: list[_Current] = []
        self._without_figures: set[str] = set()  # the fits whose figures have ended a worker
        self._losses: dict[str, int] = {}  # of machines, by the key of the task's first fit
        self._once_more: dict[str, tuple[Task, bool]] = {}  # by the key of the fit
        self._is_last_try = False

    def work(self) -> None:
        """Carry out all tasks.

        Raises:
            HarnessError: a worker could not go on, as with a full disk; earlier records have been passed on.
        """
        with self.workers:
            try:
                self._start_workers()
                while self.current:
                    by_worker = {each.worker: each for each in self.current}
                    for ready in self.workers.ready(list(by_worker), self.limits.seconds_between_checks):
                        self._receive(by_worker[ready])
                    self._check_limits()
                    self._start_workers()
            except KeyboardInterrupt:
                self._receive_what_was_sent()
                raise

    def _start_workers(self) -> None:
        if not self._has_task() and not self.current and self._once_more:
            self.waiting, self._once_more = list(self._once_more.values()), {}
            self.jobs, self._is_last_try = one_job, True
        unfinished = len(self.current) + len(self.waiting) + len(self.unclaimed)
        places = self.jobs.last if unfinished <= self.jobs.last else self.jobs.usual
        while len(self.current) < places and self._has_task():
            self._assign(self.workers.start())

    def _has_task(self) -> bool:
        """Claim the next task, if none is waiting; return whether one is."""
        while not self.waiting and self.unclaimed:
            if (claimed := self.claim(self.unclaimed.pop(0))) is not None:
                self.waiting.append((claimed, False))
        return bool(self.waiting)

    def _assign(self, worker: Worker) -> None:
        task, is_fitted = self.waiting.pop(0)
        fits, cells = (tuple(each.key for each in part) for part in (task.fits, task.cells))
        cells_by_key = {cell.key: cell for cell in task.cells}
        self.current.append(_Current(worker, task, cells_by_key, is_fitted, _memory_kills()))
        worker.assign(Assignment(fits, cells, is_fitted=is_fitted))

    def _receive(self, current: _Current) -> None:
        """Receive one event."""
        try:
            method, arguments = self._next(current)
        except EOFError:
            self._handle_end(current, None)
            return
        current.progressed = time.monotonic()
        if method == "task_ended":
            self.current.remove(current)
            if not current.task.isolated and self._has_task() and not self.waiting[0][0].isolated:
                self._assign(current.worker)
            else:
                self.workers.dismiss(current.worker)
        elif method == "failed":
            raise arguments[0]
        elif method == "is_ready":
            current.enter("loading")

    def _next(self, current: _Current) -> Message:
        """Receive a message, and pass it on if it is an event; an interruption in between would lose it."""
        with held_back():
            method, arguments = current.worker.receive()
            if method not in _no_events:
                self._pass_on(current, method, arguments)
        return method, arguments

    def _receive_what_was_sent(self) -> None:
        """Receive what workers have sent before an interruption: finished cells, and what they had begun."""
        for current in self.current:
            with suppress(EOFError):
                while current.worker.has_message():
                    self._next(current)

    def _pass_on(self, current: _Current, method: str, arguments: tuple[Any, ...]) -> None:
        """Note what a worker does, and call a method of the events, with fits and cells in place of their keys."""
        if method.startswith("cell_"):
            key, *rest = arguments
            cell = self.cells[key]
            arguments = (cell, *rest)
            if method == "cell_started":
                current.enter("cell", key)
            elif method == "cell_ended":
                current.enter("between cells")
                del current.open[key]
                record = rest[0]
                if record.status == "out-of-memory" and self._is_tried_again(cell.fit, [cell], is_fitted=True):
                    return
        elif method == "fit_failed":
            key, failure = arguments
            fit = self.fits[key]
            arguments = (fit, failure)
            if failure.status == "out-of-memory" and self._is_tried_again(fit, [], is_fitted=False):
                return
        elif method.startswith(("fit_", "epoch_")):
            keys, *rest = arguments
            fits = [self.fits[key] for key in keys]
            arguments = (fits, *rest)
            if method == "fit_started":
                current.enter("fit", fits=fits)
            elif method == "fit_ended":
                current.enter("figures", fits=fits)
        getattr(self.events, method)(*arguments)

    def _is_tried_again(self, fit: Fit, cells: Sequence[Cell], *, is_fitted: bool) -> bool:
        """Have what found no memory computed once more, when no other worker is left, if there are others now."""
        if self._is_last_try or (len(self.current) == 1 and fit.key not in self._once_more):
            return False
        if fit.key not in self._once_more:
            self.events.announce(f"{fit.model.name} found no memory beside other fits; it is tried once more, alone")
        task, fits = self._once_more.get(fit.key, (Task((fit,), (), isolated=True), is_fitted))
        self._once_more[fit.key] = replace(task, cells=(*task.cells, *cells)), fits and is_fitted
        return True

    def _check_limits(self) -> None:
        for current in list(self.current):
            failure = self._exceeded(current)
            if failure is not None:
                place = current.place
                # Memory may grow faster than a process handles SIGTERM.
                self.workers.stop(current.worker, grace=0.0 if failure.status == "out-of-memory" else _grace)
                while current in self.current:
                    self._receive_last(current, place, failure)

    def _receive_last(self, current: _Current, place: tuple[Stage, str, Sequence[Fit]], failure: Failure) -> None:
        """Receive what a worker had sent before it was stopped; it may have ended its work just in time."""
        try:
            self._next(current)
        except EOFError:
            # What uses too much memory is what it did last.
            self._handle_end(current, failure, is_late=failure.status != "out-of-memory" and current.place != place)

    def _exceeded(self, current: _Current) -> Failure | None:
        """Return which limit a worker exceeds, or None."""
        limits, now, seconds = self.limits, time.monotonic(), current.seconds
        if limits.memory is not None:
            used = current.worker.memory()
            current.most_memory = max(current.most_memory, used)
            if used > limits.memory:
                seen = f"its processes used {in_bytes(used)}; the limit is {in_bytes(limits.memory)}"
                return Failure("out-of-memory", f"{seen} (ended after {seconds:.1f} s)")
        if current.stage == "starting":  # which takes longer while others use the machine
            return None
        if limits.timeout is not None and seconds > limits.timeout:
            return Failure("timeout", f"{_doing(current)} took {seconds:.1f} s; the limit is {limits.timeout:g} s")
        trains = current.stage == "fit" and all(fit.budget is not None for fit in current.fits)
        patience, silent = limits.patience(trains=trains), now - max(current.progressed, current.since)
        if silent > patience:
            seen = f"{_doing(current)} made no progress for {silent:.1f} s; the limit is {patience:g} s"
            return Failure("hung", f"{seen} (ended after {seconds:.1f} s)")
        return None

    def _handle_end(self, current: _Current, exceeded: Failure | None, *, is_late: bool = False) -> None:
        """Record what a worker was computing when it ended, and have the rest of its task computed by another.

        Args:
            current: of the worker.
            exceeded: the limit for which it was ended, or None if it ended by itself.
            is_late: whether it had ended what exceeded the limit before it was ended.
        """
        end = current.worker.ended()
        self.workers.stop(current.worker, grace=0.0)  # what it has left behind
        if exceeded is None and self._goes_on_elsewhere(current, end):
            return
        lost = "nothing" if is_late else self._lost(current)
        failure = exceeded or self._failure_of(current, end)
        is_short = exceeded is None and end.signal == "SIGKILL" and _memory_kills() > current.memory_kills
        if lost == "fits":
            self._fail_fits(current, failure, is_short)
        elif lost == "cell":
            cell = current.open.pop(current.cell)
            if not (is_short and self._is_tried_again(cell.fit, [cell], is_fitted=True)):
                self.events.cell_ended(cell, record_without_value(cell, failure, self.specification), None)
        elif lost == "figures":
            name = current.task.fits[0].model.name
            self.events.warn(f"not all figures of {name} could be drawn: {failure.reason}")
        self.current.remove(current)
        if lost != "fits" and (current.open or not current.has_models):
            self.waiting.insert(0, (replace(current.task, cells=tuple(current.open.values())), current.has_models))

    def _goes_on_elsewhere(self, current: _Current, end: End) -> bool:
        """Have the task of a lost worker carried out by another, a few times, from its checkpoints."""
        if end.lost is None:
            return False
        key = current.task.fits[0].key
        self._losses[key] = self._losses.get(key, 0) + 1
        if self._losses[key] > _most_losses:
            return False
        name = current.task.fits[0].model.name
        self.events.warn(
            f"{name}: {end.lost}; the task goes on elsewhere ({self._losses[key]} of {_most_losses} times)"
        )
        self.current.remove(current)
        self.waiting.insert(0, (replace(current.task, cells=tuple(current.open.values())), current.has_models))
        return True

    def _lost(self, current: _Current) -> Literal["fits", "cell", "figures", "nothing"]:
        """Return what a worker that has ended was computing."""
        if current.stage in ("cell", "between cells"):
            return "cell" if current.stage == "cell" else "nothing"
        key = current.task.fits[0].key
        if current.stage == "figures" and key not in self._without_figures:
            self._without_figures.add(key)
            return "figures"
        return "fits"

    def _fail_fits(self, current: _Current, failure: Failure, is_short: bool) -> None:
        """Record that the fits of a task have failed, and so have all of its cells, unless they are tried again."""
        if current.stage == "fit":
            self.events.fit_ended(list(current.fits), failure.status, current.seconds)
        for fit in current.task.fits:
            cells = [cell for cell in current.open.values() if cell.fit.key == fit.key]
            if is_short and self._is_tried_again(fit, cells, is_fitted=False):
                continue
            self.events.fit_failed(fit, failure)
            for cell in cells:
                self.events.cell_ended(cell, record_without_value(cell, failure, self.specification), None)
        if not current.task.cells:
            self.events.warn(f"{current.task.fits[0].model.name}: {failure.status}, {failure.reason}")

    def _failure_of(self, current: _Current, end: End) -> Failure:
        """Return why a worker has ended by itself, or was ended by another program."""
        reason = f"{end.in_words}, after {current.seconds:.1f} s"
        memory, limit = current.most_memory, self.limits.memory
        if limit is not None and memory:
            reason += f"; the most memory seen is {in_bytes(memory)}"
        if end.lost is None and (end.signal is None or end.is_crash):
            return Failure("error", reason)
        if end.signal == "SIGKILL" and limit is not None and memory >= _near * limit:
            return Failure("out-of-memory", f"{reason}, and the limit is {in_bytes(limit)}")
        if end.signal == "SIGKILL" and _memory_kills() > current.memory_kills:
            reason += "; meanwhile the kernel has ended a process for lack of memory"
        return Failure("killed", reason)


def prepare_elsewhere(fits: Sequence[Fit], specification: RunSpecification, events: Events) -> dict[str, int | None]:
    """Call ``prepare`` in a worker, and return what it returns.

    If the worker ends or exceeds a limit, nothing is known of the data sets: this is recorded when they are needed.

    Raises:
        UsageError: the files do not suit the data set.
        DataError: a data set is missing, incomplete or corrupt.
    """
    limits = specification.limits
    longest = min(each for each in (limits.timeout, limits.patience(trains=False), math.inf) if each is not None)
    until = math.inf
    with LocalWorkers(specification) as workers:
        worker = workers.start()
        worker.assign(Assignment(tuple(fit.key for fit in fits), only_prepare=True))
        while (left := until - time.monotonic()) > 0:
            if not workers.ready([worker], None if left == math.inf else left):
                continue
            try:
                method, arguments = worker.receive()
            except EOFError:
                break
            if method == "task_ended":
                workers.dismiss(worker)
                found: dict[str, int | None] = arguments[0]
                return found
            if method == "failed":
                raise arguments[0]
            if method == "is_ready":
                until = time.monotonic() + longest
            elif method != "beat":
                getattr(events, method)(*arguments)
    return dict.fromkeys(hash_of(fit.dataset.identity) for fit in fits)


def _doing(current: _Current) -> str:
    what = {"loading": "loading data and models", "fit": "the fit", "figures": "storing the fit and drawing figures"}
    return what.get(current.stage, "the measurement")


def _memory_kills() -> int:
    """Return how many processes the kernel has ended for lack of memory, as far as it says so."""
    with suppress(OSError, ValueError):
        for line in _kernel_counts.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
