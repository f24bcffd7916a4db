"""Workers on other machines, which a plugin's executor starts there.

On the other machine an agent runs. It connects to this process over TCP, proves that it has the key of the run, and
receives the specification, the plugin files, and the stored files of its task. It starts a worker process there, passes
on what that sends, and sends home the files that it has written: fits with their figures, and checkpoints as training
goes on. So nothing is lost with a node but the work since its last checkpoint. Records are written by this process
only.

What comes from an agent is unpickled with a list of the few classes that may come. The connection is authenticated,
but not encrypted.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path, PurePosixPath
from typing import Any

from harness import errors
from harness.atomic import create_folder, replacing
from harness.contracts.executors import Executor, Job
from harness.errors import HarnessError, StoreError
from harness.execution.specification import RunSpecification
from harness.execution.workers import Assignment, End, LocalWorker, LocalWorkers, Message, Worker
from harness.planning.identity import hash_of
from harness.results.environment import Environment, describe_environment
from harness.results.store import Store

_seconds_to_connect = 60.0
_seconds_between_looks = 0.05
_seconds_between_questions = 1.0  # to the cluster, about a job
_seconds_to_say_all = 5.0  # from the end of a job until what it has sent has come
_seconds_to_stop = 15.0  # beyond the grace of a worker, before an agent that does not answer is given up
_data_dir_variable = "HARNESS_DATA_DIR"
_most_strangers = 4  # that may connect and say nothing before no worker can connect any more
_kept = ("fits", "checkpoints", "environments")  # the folders of a store that workers write to


@dataclass(frozen=True)
class _Welcome:
    """What an agent receives first: the specification of the run, and the content of the plugin files."""

    specification: RunSpecification
    plugins: tuple[tuple[str, bytes], ...]


class RemoteWorker:
    """A worker on another machine, with its agent; see ``Worker``."""

    def __init__(self, job: Job, store: Store, changed: threading.Condition) -> None:
        self.job = job
        self.store = store
        self.connection: Connection | None = None  # None until the agent has connected
        self.end: End | None = None
        self._changed = changed
        self._inbox: queue.SimpleQueue[Message | End] = queue.SimpleQueue()
        self._orders: list[tuple[Any, ...]] = []  # that wait for the connection
        self._ordering = threading.Lock()  # so that orders of two threads keep their order
        self._sent: dict[str, tuple[int, int]] = {}  # files that the agent has, by path, with their size and time
        self._memory = 0
        self._asked = 0.0
        self._job_was_there = time.monotonic()

    def attach(self, connection: Connection) -> None:
        """Send the orders that have waited, and receive what the agent sends."""
        with self._ordering:
            self.connection = connection
            for order in self._orders:
                self._send(order)
            self._orders.clear()
        threading.Thread(target=self._receive_reports, args=(connection,), daemon=True).start()

    def order(self, *order: Any) -> None:
        """Send an order to the agent, as soon as it has connected."""
        with self._ordering:
            if self.connection is None:
                self._orders.append(order)
            else:
                self._send(order)

    def _send(self, order: tuple[Any, ...]) -> None:
        assert self.connection is not None
        with suppress(OSError):  # a lost connection is noticed by the thread that receives
            self.connection.send(order)

    def assign(self, assignment: Assignment) -> None:
        """See ``Worker.assign``."""
        for path in self._files_of(assignment):
            name, seen = path.relative_to(self.store.root).as_posix(), _version(path)
            if seen is not None and self._sent.get(name) != seen:
                self._sent[name] = seen
                with suppress(OSError):  # replaced meanwhile, as by another run
                    self.order("file", name, path.read_bytes())
        self.order("assign", assignment)

    def receive(self) -> Message:
        """See ``Worker.receive``."""
        found = self._inbox.get()
        if isinstance(found, End):
            self._inbox.put(found)  # for whoever asks again
            raise EOFError
        return found

    def has_message(self) -> bool:
        """See ``Worker.has_message``."""
        return not self._inbox.empty()

    def memory(self) -> int:
        """See ``Worker.memory``."""
        return self._memory

    def ended(self) -> End:
        """See ``Worker.ended``."""
        return self.end or End(None)

    def look_at_job(self) -> None:
        """Ask the cluster, now and then, whether the job of the agent has ended, as when its node is lost."""
        now = time.monotonic()
        if now - self._asked < _seconds_between_questions:
            return
        self._asked = now
        end = self.job.end()
        if end is None:
            self._job_was_there = now
        elif self.connection is None or now - self._job_was_there > _seconds_to_say_all:
            self.lose(end)

    def lose(self, reason: str) -> None:
        """Note that the agent is gone, with its worker."""
        if self.end is None:
            self._put(End(None, lost=reason))

    def renew(self) -> None:
        """Prepare for another worker process of the same agent."""
        self.end, self._inbox, self._memory = None, queue.SimpleQueue(), 0

    def _put(self, item: Message | End) -> None:
        with self._changed:
            if isinstance(item, End):
                self.end = item
            self._inbox.put(item)
            self._changed.notify_all()

    def _receive_reports(self, connection: Connection) -> None:
        while True:
            try:
                kind, *rest = _loaded(connection.recv_bytes())
            except (EOFError, OSError):
                self.lose(self.job.end() or "its machine was lost, or the connection to it")
                return
            except Exception as error:  # of a damaged or forbidden message
                self.lose(f"its agent sent what cannot be read: {error}")
                connection.close()
                return
            try:
                self._handle(kind, *rest)
            except StoreError as error:
                self._put(("failed", (error,)))

    def _handle(self, kind: str, *rest: Any) -> None:
        if kind == "file":
            self._keep(*rest)
        elif kind == "gone":
            self._remove(rest[0])
        elif kind == "memory":
            self._memory = rest[0]
        else:
            self._put(rest[0])

    def _keep(self, name: str, content: bytes) -> None:
        """Write a file that the worker has written.

        Raises:
            StoreError: the disk is full, the folder cannot be written to, or the name is none of such a file.
        """
        path = self._file(name)
        try:
            create_folder(path.parent)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        if (seen := _version(path)) is not None:
            self._sent[name] = seen

    def _remove(self, name: str) -> None:
        """Remove a file that the worker has removed.

        Raises:
            StoreError: it cannot be removed, or the name is none of such a file.
        """
        path = self._file(name)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot remove {path}: {error.strerror}") from error

    def _file(self, name: str) -> Path:
        """Return the file of the store that an agent names.

        Raises:
            StoreError: it would not be in a folder that workers write to.
        """
        parts = PurePosixPath(name).parts
        if not parts or parts[0] not in _kept or any(part in ("..", "/") or "\\" in part for part in parts):
            raise StoreError(f"a worker sent a file with the name {name!r}")
        return self.store.root.joinpath(*parts)

    def _files_of(self, assignment: Assignment) -> list[Path]:
        """Return the stored files that a task may need, those that make a fit whole last."""
        folders = [self.store.fit_folder(key) for key in assignment.fits]
        found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
        for key in (*assignment.fits, *assignment.cells):
            found += self.store.checkpoint_files(key)
        return sorted(found, key=_is_description)


class RemoteWorkers:
    """Starts workers on other machines by a plugin's executor, and ends them; see ``workers.Workers``.

    An agent whose worker has nothing left to do waits for the next one, so that a job need not wait in a queue again.
    """

    def __init__(self, specification: RunSpecification, executor: Executor) -> None:
        self.specification = specification
        self.executor = executor
        self.store = Store(specification.store)
        self._key = secrets.token_bytes(32)
        self._changed = threading.Condition()
        self._expected: dict[str, RemoteWorker] = {}  # by token
        self._idle: list[RemoteWorker] = []
        self._all: list[RemoteWorker] = []
        self._is_closed = False

    def __enter__(self) -> RemoteWorkers:
        self._listener = Listener(("", 0), backlog=64, authkey=self._key)
        self._port = self._listener.address[1]
        for _ in range(_most_strangers):
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._all:
            worker.order("close")
        deadline = time.monotonic() + _seconds_to_stop
        for worker in self._all:
            while worker.connection is not None and worker.job.end() is None and time.monotonic() < deadline:
                time.sleep(_seconds_between_looks)
            worker.job.cancel()
        self._is_closed = True
        for _ in range(_most_strangers):  # a thread may wait for one more connection; none is waited for here
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port)).close()
        self._listener.close()

    def start(self) -> RemoteWorker:
        """See ``workers.Workers.start``."""
        while self._idle:
            worker = self._idle.pop()
            if worker.end is None or worker.end.lost is None:
                worker.renew()
                worker.order("start")
                return worker
        token = secrets.token_hex(16)
        work = partial(serve, _addresses(), self._port, self._key, token)
        worker = RemoteWorker(self.executor.submit(work), self.store, self._changed)
        worker.order("welcome", _Welcome(self.specification, _contents(self.specification.plugin_files)))
        worker.order("start")
        self._all.append(worker)
        self._expected[token] = worker
        return worker

    def ready(self, workers: Sequence[Worker], seconds: float | None) -> list[Worker]:
        """See ``workers.Workers.ready``."""
        deadline = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not (found := [worker for worker in workers if worker.has_message()]):
                left = _seconds_between_questions if deadline is None else deadline - time.monotonic()
                if left <= 0:
                    return []
                self._changed.wait(min(left, _seconds_between_questions))
                for worker in workers:
                    assert isinstance(worker, RemoteWorker)
                    worker.look_at_job()
        return found

    def dismiss(self, worker: Worker) -> None:
        """See ``workers.Workers.dismiss``."""
        assert isinstance(worker, RemoteWorker)
        worker.order("dismiss")
        self._keep_or_close(worker)

    def stop(self, worker: Worker, *, grace: float) -> None:
        """See ``workers.Workers.stop``."""
        assert isinstance(worker, RemoteWorker)
        worker.order("stop", grace)
        deadline = time.monotonic() + grace + _seconds_to_stop
        with self._changed:
            while worker.end is None and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
        if worker.end is None:
            worker.lose("its agent did not answer")
        if worker.end is not None and worker.end.lost is not None:
            worker.job.cancel()
        else:
            self._keep_or_close(worker)

    def _keep_or_close(self, worker: RemoteWorker) -> None:
        """Keep an agent whose worker has ended for the next, or close it if another may be waiting for its place."""
        is_awaited = any(each.connection is None and each.end is None for each in self._all)
        if is_awaited:
            worker.order("close")
        elif worker not in self._idle:
            self._idle.append(worker)

    def _accept(self, listener: Listener) -> None:
        while not self._is_closed:
            try:
                connection = listener.accept()
                token = connection.recv_bytes(64).decode()
            except (AuthenticationError, OSError, EOFError, UnicodeDecodeError):
                continue  # somebody else
            worker = self._expected.pop(token, None)
            if worker is None:
                connection.close()
            else:
                worker.attach(connection)


def serve(addresses: Sequence[str], port: int, key: bytes, token: str) -> None:
    """Be the agent of a run: connect to it, and work until it is over or the connection is lost.

    Args:
        addresses: of the machine on which the run is, of which one can be reached.
        port: on which it listens.
        key: of the run.
        token: of this agent.

    Raises:
        ConnectionError: the machine cannot be reached.
    """
    connection = _connected(addresses, port, key)
    connection.send_bytes(token.encode())
    with tempfile.TemporaryDirectory(prefix="harness-worker-") as folder, suppress(EOFError, OSError):
        _, welcome = connection.recv()
        _Agent(connection, welcome, Path(folder)).work()


@dataclass
class _Agent:
    """Carries out the orders of a run, and sends home what its worker sends and writes."""

    connection: Connection
    welcome: _Welcome
    folder: Path
    _worker: LocalWorker | None = None
    _has_ended: bool = False  # the worker, and it was told
    _sent: dict[str, tuple[int, int]] = field(default_factory=dict)
    _looked: float = 0.0
    _memory: int = 0

    def work(self) -> None:
        """Carry out orders until the last.

        Raises:
            EOFError, OSError: the connection to the run is lost.
        """
        orders: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        threading.Thread(target=self._receive_orders, args=(orders,), daemon=True).start()
        with LocalWorkers(self._specification()) as workers:
            while True:
                order = self._next(orders, workers)
                if order is None or order[0] == "close":
                    return
                self._carry_out(workers, *order)

    def _next(self, orders: queue.SimpleQueue[Any], workers: LocalWorkers) -> tuple[Any, ...] | None:
        """Return the next order, and pass on what the worker sends meanwhile."""
        while True:
            with suppress(queue.Empty):
                order: tuple[Any, ...] | None = orders.get(timeout=0.0 if self._is_working else None)
                return order
            self._pass_on(workers, _seconds_between_looks)

    @property
    def _is_working(self) -> bool:
        return self._worker is not None and not self._has_ended

    def _receive_orders(self, orders: queue.SimpleQueue[Any]) -> None:
        with suppress(EOFError, OSError):
            while True:
                orders.put(self.connection.recv())
        orders.put(None)

    def _carry_out(self, workers: LocalWorkers, name: str, *arguments: Any) -> None:
        if name == "file":
            path = self.folder / "store" / arguments[0]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(arguments[1])
            self._sent[arguments[0]] = _version(path) or (0, 0)
        elif name == "start":
            self._worker, self._has_ended = workers.start(), False
        elif self._worker is None:
            return
        elif name == "assign":
            self._worker.assign(arguments[0])
        elif name == "dismiss":
            workers.dismiss(self._worker)
            self._worker = None
        elif name == "stop":
            workers.stop(self._worker, grace=arguments[0])
            while self._is_working:
                self._pass_on(workers, _seconds_between_looks)

    def _pass_on(self, workers: LocalWorkers, seconds: float) -> None:
        """Send home what the worker has sent, after the files that it has written before."""
        assert self._worker is not None
        if self._worker in workers.ready([self._worker], seconds):
            try:
                message = self._worker.receive()
            except EOFError:
                self._send_files()
                self._has_ended = True
                self._report("ended", self._worker.ended())
                return
            if message[0] != "beat" or time.monotonic() - self._looked > _seconds_between_questions:
                self._send_files()
            self._report("message", message)
        if self.welcome.specification.limits.memory is not None:
            memory = self._worker.memory()
            if memory != self._memory:
                self._memory = memory
                self._report("memory", memory)

    def _send_files(self) -> None:
        self._looked = time.monotonic()
        root = self.folder / "store"
        paths = [path for name in _kept for path in (root / name).rglob("*") if path.is_file()]
        there = set()
        for path in sorted(paths, key=_is_description):
            name = path.relative_to(root).as_posix()
            there.add(name)
            seen = _version(path)
            if seen is None or self._sent.get(name) == seen or any(part.startswith(".") for part in Path(name).parts):
                continue
            with suppress(FileNotFoundError):  # it was replaced at this moment; the next look finds the new one
                self._report("file", name, path.read_bytes())
                self._sent[name] = seen
        for name in [name for name in self._sent if name.startswith("checkpoints/") and name not in there]:
            del self._sent[name]
            self._report("gone", name)

    def _report(self, *report: Any) -> None:
        self.connection.send_bytes(pickle.dumps(report))

    def _specification(self) -> RunSpecification:
        """Return the specification with the folders, the plugin files and the environment of this machine."""
        import torch

        given = self.welcome.specification
        environment = describe_environment(torch.device(given.engine.device))
        self._require_same_versions(environment)
        plugins = []
        for number, (name, content) in enumerate(self.welcome.plugins):
            path = self.folder / "plugins" / str(number) / name
            path.parent.mkdir(parents=True)
            path.write_bytes(content)
            plugins.append(path)
        store = Store(self.folder / "store")
        described = environment.as_json()
        store.write_environment(hash_of(described), described)
        data_dir = given.data_dir
        if data_dir is not None and not data_dir.exists() and _data_dir_variable in os.environ:
            data_dir = Path(os.environ[_data_dir_variable])
        return replace(
            given,
            plugin_files=tuple(plugins),
            environment=environment,
            store=store.root,
            data_dir=data_dir,
            cache_dir=given.cache_dir if os.access(given.cache_dir, os.W_OK) else self.folder / "cache",
        )

    def _require_same_versions(self, here: Environment) -> None:
        """Refuse to work with other software than that of the run, which would give other results.

        Raises:
            EOFError: the software differs, and the run was told.
        """
        there = self.welcome.specification.environment
        pairs: dict[str, tuple[str, str | None]] = {"Python": (here.python, there.python)}
        pairs |= {name: (version, there.distributions.get(name)) for name, version in here.distributions.items()}
        differing = [f"{name} {mine} for {other}" for name, (mine, other) in pairs.items() if mine != other]
        if differing:
            error = HarnessError(f"{socket.gethostname()} has {', '.join(differing)}; install the same versions there")
            self._report("message", ("failed", (error,)))
            raise EOFError


# The classes and functions of which reports consist, besides numbers, texts and containers.
_may_come = {
    ("harness.contracts.events", "Record"),
    ("harness.contracts.events", "Values"),
    ("harness.execution.failure", "Failure"),
    ("harness.execution.workers", "End"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.numeric", "_frombuffer"),
    ("numpy.core.numeric", "_frombuffer"),
}


class _Restricted(pickle.Unpickler):
    """Unpickles what an agent reports, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _may_come or _is_error(module, name):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} may not come from a worker")


def _is_error(module: str, name: str) -> bool:
    found = getattr(errors, name, None) if module == errors.__name__ else None
    return isinstance(found, type) and issubclass(found, HarnessError)


def _loaded(content: bytes) -> Any:
    return _Restricted(io.BytesIO(content)).load()


def _connected(addresses: Sequence[str], port: int, key: bytes) -> Connection:
    deadline = time.monotonic() + _seconds_to_connect
    while True:
        for address in addresses:
            try:
                return Client((address, port), authkey=key)
            except (OSError, AuthenticationError) as error:
                problem: Exception = error
        if time.monotonic() > deadline:
            raise ConnectionError(f"no run answers at {', '.join(addresses)}, port {port}: {problem}")
        time.sleep(_seconds_between_questions)


def _addresses() -> list[str]:
    """Return the addresses at which this machine may be reached, the likely ones first."""
    found = []
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; tells from which address packets would leave
        found.append(probe.getsockname()[0])
    with suppress(OSError):
        found.append(socket.gethostbyname(socket.gethostname()))
    return list(dict.fromkeys([*found, "127.0.0.1"]))


def _contents(files: Sequence[Path]) -> tuple[tuple[str, bytes], ...]:
    return tuple((path.name, path.read_bytes()) for path in files)


def _version(path: Path) -> tuple[int, int] | None:
    """Return what tells a file from its replacement, or None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_size, found.st_mtime_ns


def _is_description(path: Path) -> bool:
    return path.name == "fit.json"
