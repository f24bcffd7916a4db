"""Tasks carried out by worker processes side by side, each with the threads of one fit.

A worker is handed no objects but the words of the run: it loads the plugins and builds the plan itself, so that what
it does is what this process would do. It writes fits; records go back to this process, the only one that writes them.
A worker that dies costs the cells of its task and nothing else.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple

from harness.cell import Failure, Provenance, record_without_value
from harness.data import DataSource
from harness.device import prepare_torch
from harness.engine import Engine
from harness.errors import HarnessError
from harness.executors.task import Bench, Observer, Task, perform
from harness.plan import Cell, Fit, Plan, Request, build_plan
from harness.plugins import Registry
from harness.store import Record, Store, Values

_farewell = 5.0  # seconds for a process to end by itself


@dataclass(frozen=True)
class Blueprint:
    """All that a worker needs to know of a run, in picklable words."""

    request: Request
    plugin_files: tuple[Path, ...]
    engine: Engine
    machine: str
    store: Path
    data_dir: Path | None
    cache_dir: Path
    provenance: Provenance
    fresh: bool
    figures: bool

    @cached_property
    def registry(self) -> Registry:
        """The plugins, loaded anew."""
        return Registry.load(self.plugin_files)

    @cached_property
    def plan(self) -> Plan:
        """The plan, built anew."""
        return build_plan(self.request, self.registry, self.engine, self.machine)


class Jobs(NamedTuple):
    """How many processes carry out tasks at once, and how many from when only so many tasks are left.

    Five equal tasks on two cores take as long as six, unless the last three share the cores.
    """

    usual: int = 1
    last: int = 1


def perform_in_workers(tasks: Sequence[Task], blueprint: Blueprint, observer: Observer, jobs: Jobs) -> None:
    """Carry out tasks in several processes, in their order as workers become free.

    Raises:
        HarnessError: a worker could not go on, as with a full disk; records that came before are with the observer.
    """
    _Crew(tasks, blueprint, observer, jobs).work()


class _Worker:
    """A process, the pipe to it, and the cells of its task that have not ended."""

    def __init__(self, blueprint: Blueprint) -> None:
        if sys.platform == "linux":
            context: Any = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["harness.executors"])  # so that torch is imported once for all
        else:
            context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, blueprint))
        self.process.start()
        theirs.close()
        self.task: Task | None = None
        self.has_models = False  # of the task
        self.open: dict[str, Cell] = {}

    def take(self, task: Task) -> None:
        """Hand it a task."""
        self.task, self.has_models = task, False
        self.open = {cell.key: cell for cell in task.cells}
        with suppress(OSError):  # one that has died is heard of where it is listened to
            self.connection.send(([fit.key for fit in task.fits], [cell.key for cell in task.cells]))

    def dismiss(self) -> None:
        """Let the process end, which has nothing left to do."""
        self.connection.close()
        self.process.join(_farewell)
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


class _Crew:
    def __init__(self, tasks: Sequence[Task], blueprint: Blueprint, observer: Observer, jobs: Jobs) -> None:
        self.waiting = list(tasks)
        self.blueprint = blueprint
        self.observer = observer
        self.jobs = jobs
        self.fits = {fit.key: fit for task in tasks for fit in task.fits}
        self.cells = {cell.key: cell for task in tasks for cell in task.cells}
        self.workers: list[_Worker] = []

    def work(self) -> None:
        try:
            self._hire()
            while self.workers:
                by_connection = {worker.connection: worker for worker in self.workers}
                for ready in wait(list(by_connection)):
                    self._listen(by_connection[ready])
        except KeyboardInterrupt:
            self._take_what_is_finished()
            raise
        finally:
            for worker in self.workers:
                worker.stop()

    def _hire(self) -> None:
        unfinished = len(self.workers) + len(self.waiting)
        places = self.jobs.last if unfinished <= self.jobs.last else self.jobs.usual
        while self.waiting and len(self.workers) < places:
            worker = _Worker(self.blueprint)
            self.workers.append(worker)
            worker.take(self.waiting.pop(0))

    def _listen(self, worker: _Worker) -> None:
        try:
            method, arguments = worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if method == "task_ended":
            worker.task = None
            if self.waiting:
                worker.take(self.waiting.pop(0))
                self._hire()
            else:
                self.workers.remove(worker)
                worker.dismiss()
        elif method == "failed":
            raise arguments[0]
        else:
            self._tell(worker, method, arguments)

    def _take_what_is_finished(self) -> None:
        """Take the records that workers have sent and that nobody has listened to yet."""
        for worker in self.workers:
            with suppress(EOFError, OSError):
                while worker.connection.poll():
                    method, arguments = worker.connection.recv()
                    if method == "cell_ended":
                        self._tell(worker, method, arguments)

    def _tell(self, worker: _Worker, method: str, arguments: tuple[Any, ...]) -> None:
        if method == "announce":
            self.observer.reporter.announce(*arguments)
        elif method.startswith("cell_"):
            key, *rest = arguments
            worker.has_models = True
            if method == "cell_ended":
                del worker.open[key]
            getattr(self.observer, method)(self.cells[key], *rest)
        elif method == "fit_failed":
            key, failure = arguments
            self.observer.fit_failed(self.fits[key], failure)
        else:
            keys, *rest = arguments
            getattr(self.observer.reporter, method)([self.fits[key] for key in keys], *rest)

    def _bury(self, worker: _Worker) -> None:
        self.workers.remove(worker)
        said = worker.end_in_words
        worker.connection.close()
        failure = Failure("error", said)
        if worker.task is not None and not worker.has_models:
            for fit in worker.task.fits:
                self.observer.fit_failed(fit, failure)
        for cell in worker.open.values():
            self.observer.cell_ended(cell, record_without_value(cell, failure, self.blueprint.provenance), None)
        if worker.task is not None and not worker.open:
            self.observer.reporter.announce(f"{worker.task.fits[0].model.name}: {said}")
        self._hire()


class _Messenger:
    """The observer and the reporter in a worker: sends what it hears, with keys in place of fits and cells."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def reporter(self) -> _Messenger:
        return self

    def _send(self, method: str, *arguments: Any) -> None:
        self.connection.send((method, arguments))

    def announce(self, line: str) -> None:
        self._send("announce", line)

    def fit_started(self, fits: Sequence[Fit]) -> None:
        self._send("fit_started", [fit.key for fit in fits])

    def epoch_ended(self, fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
        self._send("epoch_ended", [fit.key for fit in fits], epoch, dict(losses), progress)

    def fit_ended(self, fits: Sequence[Fit], status: str, seconds: float) -> None:
        self._send("fit_ended", [fit.key for fit in fits], status, seconds)

    def fit_failed(self, fit: Fit, failure: Failure) -> None:
        self._send("fit_failed", fit.key, failure)

    def cell_progressed(self, cell: Cell, progress: float) -> None:
        self._send("cell_progressed", cell.key, progress)

    def cell_started(self, cell: Cell) -> None:
        self._send("cell_started", cell.key)

    def cell_ended(self, cell: Cell, record: Record, values: Values | None) -> None:
        self._send("cell_ended", cell.key, record, values)


def _work(connection: Connection, blueprint: Blueprint) -> None:
    """Do tasks as they come, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is this process's parent's to handle
    try:
        device = prepare_torch(blueprint.engine.device, deterministic=blueprint.engine.deterministic)
        messenger = _Messenger(connection)
        bench = Bench(
            Store(blueprint.store),
            device,
            DataSource(blueprint.data_dir, blueprint.cache_dir, messenger.announce),
            blueprint.provenance,
            blueprint.registry,
            blueprint.fresh,
            blueprint.figures,
        )
        plan = blueprint.plan
        fits = {fit.key: fit for fit in plan.fits}
        cells = {cell.key: cell for cell in plan.cells}
        while True:
            fit_keys, cell_keys = connection.recv()
            task = Task(tuple(fits[key] for key in fit_keys), tuple(cells[key] for key in cell_keys))
            perform(task, bench, messenger)
            messenger._send("task_ended")
    except (EOFError, BrokenPipeError):
        sys.exit()
    except HarnessError as error:
        connection.send(("failed", (error,)))
