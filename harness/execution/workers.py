"""Tasks carried out by worker processes side by side, each with the threads of one fit.

A worker receives a picklable run specification, not live objects: it loads the plugins and builds the plan itself, and
so does exactly what this process would do. It writes fits; records are sent to this process, the only one that writes
them. A worker that dies costs the cells of its task and nothing else.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any

from harness.contracts.events import Record, Values
from harness.errors import HarnessError
from harness.execution.events import Events
from harness.execution.failure import Failure
from harness.execution.jobs import Jobs
from harness.execution.records import record_without_value
from harness.execution.specification import RunSpecification, WorkerContext
from harness.execution.task import Task, perform
from harness.machine.device import prepare_torch
from harness.planning.plan import Cell, Fit
from harness.registry import Registry

_shutdown_timeout = 5.0  # seconds for a process to end by itself


def perform_in_workers(
    tasks: Sequence[Task],
    specification: RunSpecification,
    events: Events,
    jobs: Jobs,
    claim: Callable[[Task], Task | None],
) -> None:
    """Carry out tasks in several processes, in their order as workers become free; see ``WorkerPool`` for ``claim``.

    Raises:
        HarnessError: a worker could not go on, as with a full disk; earlier records have been passed on.
    """
    WorkerPool(tasks, specification, events, jobs, partial(start_worker, specification), claim=claim).work()


class Worker:
    """A process, the connection to it, and the cells of its task that have not ended."""

    def __init__(self, process: BaseProcess, connection: Connection) -> None:
        self.process = process
        self.connection = connection
        self.task: Task | None = None
        self.has_models = False  # of the task
        self.open: dict[str, Cell] = {}

    def take(self, task: Task) -> None:
        """Send it a task."""
        self.task, self.has_models = task, False
        self.open = {cell.key: cell for cell in task.cells}
        with suppress(OSError):  # a dead worker is noticed when the pool next receives from it
            self.connection.send(([fit.key for fit in task.fits], [cell.key for cell in task.cells]))

    def shut_down(self) -> None:
        """Let the process end, which has nothing left to do."""
        self.connection.close()
        self.process.join(_shutdown_timeout)
        self.process.terminate()
        self.process.join()

    def stop(self) -> None:
        """End the process, now."""
        self.process.terminate()
        self.process.join()
        self.connection.close()

    @property
    def end_in_words(self) -> str:
        """How the process ended."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            return f"its worker process was ended by {name}" + (", perhaps for lack of memory" * (name == "SIGKILL"))
        return f"its worker process ended with exit code {code}"


def start_worker(specification: RunSpecification) -> Worker:
    """Start a process that waits for tasks."""
    if sys.platform == "linux":
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["harness.execution.workers"])  # so that torch is imported once for all
    else:
        context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, specification))
    with _without_main_module():
        process.start()
    theirs.close()
    return Worker(process, ours)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Keep a process that is started within the block from running the user's script again.

    Python runs the main module again in a new process, for what it defines. A worker needs none of it, and a script
    that calls ``harness.run`` without a guard would start workers in each worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


class WorkerPool:
    """Hands tasks to workers and passes on what they send.

    Args:
        tasks: in the order in which they are begun.
        specification: of the run.
        events: receives what happens.
        jobs: how many workers there may be.
        start: starts a worker.
        fresh_processes: whether each task has a process of its own.
        claim: called before a task is begun; returns the part of it that is to be carried out now, or None.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        specification: RunSpecification,
        events: Events,
        jobs: Jobs,
        start: Callable[[], Worker],
        *,
        fresh_processes: bool = False,
        claim: Callable[[Task], Task | None] = lambda task: task,
    ) -> None:
        self.claim = claim
        self.fresh_processes = fresh_processes
        self.waiting = list(tasks)
        self.specification = specification
        self.events = events
        self.jobs = jobs
        self.start = start
        self.fits = {fit.key: fit for task in tasks for fit in task.fits}
        self.cells = {cell.key: cell for task in tasks for cell in task.cells}
        self.workers: list[Worker] = []

    def work(self) -> None:
        """Carry out all tasks.

        Raises:
            HarnessError: a worker could not go on.
        """
        try:
            self._start_workers()
            while self.workers:
                by_connection = {worker.connection: worker for worker in self.workers}
                for ready in wait(list(by_connection)):
                    self._receive(by_connection[ready])  # type: ignore[index]
        except KeyboardInterrupt:
            self._receive_finished_cells()
            raise
        finally:
            for worker in self.workers:
                worker.stop()

    def _start_workers(self) -> None:
        unfinished = len(self.workers) + len(self.waiting)
        places = self.jobs.last if unfinished <= self.jobs.last else self.jobs.usual
        while len(self.workers) < places and (task := self._next_task()) is not None:
            worker = self.start()
            self.workers.append(worker)
            worker.take(task)

    def _next_task(self) -> Task | None:
        while self.waiting:
            task = self.claim(self.waiting.pop(0))
            if task is not None:
                return task
        return None

    def _receive(self, worker: Worker) -> None:
        try:
            method, arguments = worker.connection.recv()
        except (EOFError, OSError):
            self._handle_dead(worker)
            return
        if method == "task_ended":
            worker.task = None
            if not self.fresh_processes and (task := self._next_task()) is not None:
                worker.take(task)
            else:
                self.workers.remove(worker)
                worker.shut_down()
            self._start_workers()
        elif method == "failed":
            raise arguments[0]
        else:
            self._pass_on(worker, method, arguments)

    def _receive_finished_cells(self) -> None:
        """Receive the records that workers have sent before an interruption."""
        for worker in self.workers:
            with suppress(EOFError, OSError):
                while worker.connection.poll():
                    method, arguments = worker.connection.recv()
                    if method == "cell_ended":
                        self._pass_on(worker, method, arguments)

    def _pass_on(self, worker: Worker, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of the events, with fits and cells in place of their keys."""
        if method.startswith("cell_"):
            key, *rest = arguments
            worker.has_models = True
            if method == "cell_ended":
                del worker.open[key]
            arguments = (self.cells[key], *rest)
        elif method == "fit_failed":
            key, failure = arguments
            arguments = (self.fits[key], failure)
        elif method.startswith(("fit_", "epoch_")):
            keys, *rest = arguments
            arguments = ([self.fits[key] for key in keys], *rest)
        getattr(self.events, method)(*arguments)

    def _handle_dead(self, worker: Worker) -> None:
        self.workers.remove(worker)
        end = worker.end_in_words
        worker.connection.close()
        failure = Failure("error", end)
        if worker.task is not None and not worker.has_models:
            for fit in worker.task.fits:
                self.events.fit_failed(fit, failure)
        for cell in worker.open.values():
            self.events.cell_ended(cell, record_without_value(cell, failure, self.specification), None)
        if worker.task is not None and not worker.open:
            self.events.warn(f"{worker.task.fits[0].model.name}: {end}")
        self._start_workers()


class _Sender:
    """The events in a worker: sends each to the parent, with keys in place of fits and cells."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, method: str, *arguments: Any) -> None:
        self.connection.send((method, arguments))

    def announce(self, line: str) -> None:
        self.send("announce", line)

    def warn(self, line: str) -> None:
        self.send("warn", line)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        self.send("fit_started", [fit.key for fit in fits])

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        self.send("epoch_ended", [fit.key for fit in fits], epoch, dict(losses), progress)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        self.send("fit_ended", [fit.key for fit in fits], status, seconds)

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        self.send("fit_failed", fit.key, failure)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        self.send("cell_progressed", cell.key, progress)

    def cell_started(self, cell: Cell) -> None:
        self.send("cell_started", cell.key)

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        self.send("cell_ended", cell.key, record, values)


def _work(connection: Connection, specification: RunSpecification) -> None:
    """Carry out tasks as they come, until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is handled by the parent
    try:
        prepare_torch(specification.engine.device, deterministic=specification.engine.deterministic)
        sender, registry = _Sender(connection), Registry.load(specification.plugin_files)
        context = WorkerContext(specification, registry, sender)
        plan = specification.plan(registry)
        fits = {fit.key: fit for fit in plan.fits}
        cells = {cell.key: cell for cell in plan.cells}
        while True:
            fit_keys, cell_keys = connection.recv()
            perform(Task(tuple(fits[key] for key in fit_keys), tuple(cells[key] for key in cell_keys)), context)
            sender.send("task_ended")
    except (EOFError, BrokenPipeError):
        sys.exit()
    except HarnessError as error:
        connection.send(("failed", (error,)))
