"""Worker processes of this machine, and what runs in them.

A worker receives a picklable run specification, not live objects: it loads the plugins and builds the plan itself, and
so does exactly what this process would do. It writes fits; records are sent to this process, the only one that writes
them. ``pool.py`` decides what workers do; another kind of worker, such as one on another machine, implements
``Worker`` and ``Workers``.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, NamedTuple, Protocol

from harness.contracts.events import Record, Values
from harness.errors import HarnessError
from harness.execution.failure import Failure
from harness.execution.processes import Leader, Watchdog, end, lead_session
from harness.execution.specification import RunSpecification, WorkerContext
from harness.execution.task import Task, perform, prepare
from harness.machine.device import gpus, prepare_torch
from harness.planning.plan import Cell, Fit
from harness.registry import Registry

_seconds_to_leave = 2.0  # for a process that has nothing left to do
_seconds_between_looks = 0.01
_to_draw = ["matplotlib.figure", "matplotlib.backends.backend_agg"]
_imported_by_the_server = list(_to_draw)
# What a program does to itself; all other signals come from outside.
_crashes = {"SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL", "SIGSYS", "SIGTRAP"}

Message = tuple[str, tuple[Any, ...]]


class Assignment(NamedTuple):
    """What a worker is to do, by keys of the plan, which it has too.

    Args:
        fits: of a task, or those of which data and files are to be checked.
        cells: of the task.
        only_prepare: whether only data and files are checked.
        is_fitted: whether the fits were stored by this run, and so are used even if the run is fresh.
    """

    fits: tuple[str, ...]
    cells: tuple[str, ...] = ()
    only_prepare: bool = False
    is_fitted: bool = False


@dataclass(frozen=True)
class End:
    """How a worker ended: its exit code, or the name of the signal; no code if it closed its connection but went on.

    ``lost`` says in words that the machine of the worker was lost, or that the worker never started there.
    """

    code: int | None
    signal: str | None = None
    lost: str | None = None

    @property
    def is_crash(self) -> bool:
        """Whether it was ended by a fault of its own, not from outside."""
        return self.signal in _crashes

    @property
    def in_words(self) -> str:
        """What was seen."""
        if self.lost is not None:
            return self.lost
        if self.signal is not None:
            return f"its process {'crashed with' if self.is_crash else 'was ended by'} {self.signal}"
        if self.code is None:
            return "its process closed the connection to the harness"
        how = ", as os._exit(0) does" if self.code == 0 else ""
        return f"its process ended with exit code {self.code} before the work was done{how}"


class Worker(Protocol):
    """A process that carries out one task at a time, and reports what happens."""

    def assign(self, assignment: Assignment) -> None:
        """Begin a task; a worker that has ended is noticed when ``receive`` is called."""

    def receive(self) -> Message:
        """Return the next event: the name of a method of ``Events`` and its arguments, with keys for fits and cells.

        Four names are no methods: ``is_ready``, once, when the worker has started; ``beat``, for progress;
        ``task_ended``, with what ``prepare`` returns if that was the task; and ``failed`` with a ``HarnessError``,
        after which the worker ends.

        Raises:
            EOFError: the worker has ended, and all that it sent was received.
        """

    def has_message(self) -> bool:
        """Return whether ``receive`` returns or raises at once."""

    def memory(self) -> int:
        """Return the resident memory of the worker and of all that it has started, in bytes."""

    def ended(self) -> End:
        """Return how a worker ended, which may be about to end; one that does not is ended."""


class Workers(Protocol):
    """Starts workers, waits for them and ends them. They are ended when its ``with`` block is left."""

    def __enter__(self) -> Workers:
        """Return itself."""

    def __exit__(self, *error: object) -> None:
        """End all workers, with all that they have started."""

    def start(self) -> Worker:
        """Start a worker."""

    def ready(self, workers: Sequence[Worker], seconds: float | None) -> list[Worker]:
        """Return those of the workers that have a message or have ended, after at most so many seconds."""

    def dismiss(self, worker: Worker) -> None:
        """Let a worker end by itself that has nothing left to do; what it leaves behind is ended."""

    def stop(self, worker: Worker, *, grace: float) -> None:
        """End a worker with all that it has started, by SIGTERM and after ``grace`` seconds by SIGKILL."""


class LocalWorker:
    """A process of this machine, and the connection to it.

    ``gpu`` is the value of ``CUDA_VISIBLE_DEVICES`` that shows it its GPU; None if it sees what this process sees.
    """

    def __init__(self, process: BaseProcess, connection: Connection, leader: Leader, gpu: str | None) -> None:
        self.process = process
        self.connection = connection
        self.leader = leader
        self.gpu = gpu

    def assign(self, assignment: Assignment) -> None:
        """See ``Worker.assign``."""
        with suppress(OSError):
            self.connection.send(assignment)

    def receive(self) -> Message:
        """See ``Worker.receive``."""
        try:
            if self.has_ended and not self.connection.poll():
                raise EOFError
            message: Message = self.connection.recv()
        except OSError as error:
            raise EOFError from error
        return message

    def has_message(self) -> bool:
        """See ``Worker.has_message``."""
        with suppress(OSError):
            return self.connection.poll()
        return True

    def memory(self) -> int:
        """See ``Worker.memory``."""
        return self.leader.memory()

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended. A process that it has forked may keep the connection open."""
        return bool(wait([self.process.sentinel], 0))

    def ended(self) -> End:
        """See ``Worker.ended``."""
        self.process.join(_seconds_to_leave)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
            return End(None)
        code = self.process.exitcode
        return End(code, signal.Signals(-code).name if code < 0 else None)


class LocalWorkers:
    """Starts workers as processes of this machine.

    A watchdog ends them when this process is gone. If there are several GPUs, each sees one of them, which the fewest
    running workers use.
    """

    def __init__(self, specification: RunSpecification) -> None:
        self.specification = specification
        self._running: list[LocalWorker] = []
        self._leaving: dict[LocalWorker, float] = {}  # with the time at which it is ended
        self._watchdog: Watchdog | None = None
        self._gpus = gpus(specification.engine.device)

    def __enter__(self) -> LocalWorkers:
        return self

    def __exit__(self, *error: object) -> None:
        self._end(self._running, grace=1.0)
        while self._leaving and error[0] is None:
            time.sleep(_seconds_between_looks)
            self._end_those_that_linger()
        self._end(list(self._leaving), grace=0.0)
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None

    def start(self) -> LocalWorker:
        """See ``Workers.start``."""
        if self._watchdog is None:
            self._watchdog = Watchdog()
        gpu = self._free_gpu()
        visible = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu}
        worker = LocalWorker(*start_process(_work, self.specification, environment=visible), gpu)
        self._watchdog.watch(worker.leader)  # before it has a task: until then it ends with the connection
        self._running.append(worker)
        return worker

    def _free_gpu(self) -> str | None:
        if len(self._gpus) < 2:
            return None
        used = [each.gpu for each in self._running]
        return min(self._gpus, key=used.count)

    def ready(self, workers: Sequence[Worker], seconds: float | None) -> list[Worker]:
        """See ``Workers.ready``."""
        local = [each for each in workers if isinstance(each, LocalWorker)]
        sources: dict[Any, Worker] = {each.connection: each for each in local}
        sources |= {each.process.sentinel: each for each in local}
        found = wait(list(sources), min(seconds or 0.5, 0.5) if self._leaving else seconds)
        # What ended workers have forked may keep their connections open.
        end({each.leader.pid: each.leader for each in local if each.process.sentinel in found}, grace=0.0)
        self._end_those_that_linger()
        return list(dict.fromkeys(sources[each] for each in found))

    def dismiss(self, worker: Worker) -> None:
        """See ``Workers.dismiss``."""
        assert isinstance(worker, LocalWorker)
        self._running.remove(worker)
        self._leaving[worker] = time.monotonic() + _seconds_to_leave
        worker.connection.close()

    def stop(self, worker: Worker, *, grace: float) -> None:
        """See ``Workers.stop``; what it sent before can still be received."""
        assert isinstance(worker, LocalWorker)
        self._end([worker], grace)

    def _end_those_that_linger(self) -> None:
        now = time.monotonic()
        over = [each for each, until in self._leaving.items() if now >= until or not each.leader.is_running]
        self._end(over, grace=0.0)

    def _end(self, workers: Sequence[LocalWorker], grace: float) -> None:
        if workers:
            end({each.leader.pid: each.leader for each in workers}, grace)
        for worker in list(workers):
            if self._watchdog is not None:
                self._watchdog.forget(worker.leader)
            self._leaving.pop(worker, None)
            if worker in self._running:
                self._running.remove(worker)


def expect_work(*, draws: bool) -> None:
    """Let the server of worker processes import only what they will need; until this is called, all that they may need.

    It has no effect once a process was started. So it is for a program that carries out one run.

    Args:
        draws: whether figures are drawn.
    """
    _imported_by_the_server[:] = _to_draw * draws


def start_process(
    work: Callable[..., None], *arguments: Any, environment: Mapping[str, str] | None = None
) -> tuple[BaseProcess, Connection, Leader]:
    """Start a process of this machine, and return it with a connection to it.

    On Linux it is forked from a server process that has imported torch, so that it starts in a moment. It has the
    environment variables that this process has now, leads a session, and ignores SIGINT. What it writes to standard
    output goes to standard error, since standard output is for results.

    Args:
        work: a function of a module, which gets the other end of the connection and the arguments.
        arguments: that can be pickled.
        environment: variables that the process has in addition.
    """
    if sys.platform == "linux":
        context: Any = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*_imported_by_the_server, "harness.execution.preloaded"])
    else:
        context = multiprocessing.get_context("spawn")
    token = uuid.uuid4().hex
    ours, theirs = context.Pipe()
    variables = {**os.environ, **(environment or {})}
    process = context.Process(target=_begin, args=(variables, token, work, theirs, *arguments))
    with _without_main_module():
        process.start()
    theirs.close()
    return process, ours, Leader(process.pid, token)


def _begin(variables: Mapping[str, str], token: str, work: Callable[..., None], *arguments: Any) -> None:
    os.environ.clear()  # which is that of the fork server, as it was when the server was started
    os.environ.update(variables)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interruption is handled by the parent
    lead_session(token)
    os.dup2(2, 1)
    work(*arguments)


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


class _Sender:
    """The events in a worker: sends each to the parent, with keys in place of fits and cells.

    Args:
        connection: to the parent.
        interval: seconds between two reports of progress.
    """

    def __init__(self, connection: Connection, interval: float) -> None:
        self.connection = connection
        self.interval = interval
        self._lock = threading.Lock()  # a metric may report progress from a thread of its own
        self._beaten = 0.0

    def send(self, method: str, *arguments: Any) -> None:
        with self._lock:
            self.connection.send((method, arguments))

    def beat(self) -> None:
        now = time.monotonic()
        if now - self._beaten >= self.interval:
            self._beaten = now
            self.send("beat")

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
    try:
        prepare_torch(specification.engine.device, deterministic=specification.engine.deterministic)
        sender = _Sender(connection, specification.limits.seconds_between_beats)
        registry = Registry.load(specification.plugin_files)
        context = WorkerContext(specification, registry, sender, beat=sender.beat)
        plan = specification.plan(registry)
        fits = {fit.key: fit for fit in plan.fits}
        cells = {cell.key: cell for cell in plan.cells}
        sender.send("is_ready")
        while True:
            assignment: Assignment = connection.recv()
            its_fits = tuple(fits[key] for key in assignment.fits)
            if assignment.only_prepare:
                sender.send("task_ended", prepare(its_fits, context))
                continue
            if assignment.is_fitted:
                context.specification = dataclasses.replace(specification, fresh=False)
            perform(Task(its_fits, tuple(cells[key] for key in assignment.cells)), context)
            sender.send("task_ended")
    except (EOFError, BrokenPipeError):
        sys.exit()
    except HarnessError as error:
        connection.send(("failed", (error,)))
