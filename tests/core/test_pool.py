"""The pool hands out tasks, compares workers with limits, and says why one has ended; the workers are scripted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from harness.execution.failure import Failure
from harness.execution.jobs import Jobs
from harness.execution.limits import Limits
from harness.execution.pool import WorkerPool
from harness.execution.task import Task
from harness.execution.workers import Assignment, End

mebibyte = 2**20


class Scripted:
    """A worker that sends what is written, and then ends; or hangs if it has no end, until it is stopped."""

    def __init__(self, *messages: Any, end: End | None = None, memory: int = 0, last_words: Sequence[Any] = ()) -> None:
        self.messages = [("is_ready", ()), *messages]
        self.end = end
        self.used = memory
        self.last_words = last_words  # are in the connection when it is stopped
        self.assigned: list[Assignment] = []

    def assign(self, assignment: Assignment) -> None:
        self.assigned.append(assignment)

    def receive(self) -> Any:
        if not self.messages:
            raise EOFError
        message = self.messages.pop(0)
        if isinstance(message, BaseException):
            raise message
        return message

    def has_message(self) -> bool:
        return bool(self.messages)

    def memory(self) -> int:
        return self.used

    def ended(self) -> End:
        return self.end or End(-15, "SIGTERM")


class Script:
    """Workers that are written in advance; notes how many there are whenever one starts."""

    def __init__(self, *workers: Scripted) -> None:
        self.workers = list(workers)
        self.started: list[Scripted] = []
        self.running = 0
        self.beside: list[int] = []
        self.is_closed = False

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *error: object) -> None:
        self.is_closed = True

    def start(self) -> Scripted:
        self.started.append(self.workers.pop(0))
        self.beside.append(self.running)
        self.running += 1
        return self.started[-1]

    def ready(self, workers: Sequence[Any], seconds: float | None) -> list[Any]:
        return [each for each in workers if each.messages or each.end is not None][:1]

    def dismiss(self, worker: Any) -> None:
        self.running -= 1

    def stop(self, worker: Any, *, grace: float) -> None:
        if worker.end is None:
            worker.messages += worker.last_words
            worker.end = End(-15, "SIGTERM")
        else:
            self.running -= 1


class Events:
    """Notes what happens."""

    def __init__(self) -> None:
        self.ended: dict[str, tuple[str, str | None]] = {}
        self.others: list[tuple[str, Any]] = []

    def cell_ended(self, cell: Any, record: Any, values: Any) -> None:
        assert cell.key not in self.ended
        self.ended[cell.key] = (record.status, record.reason)

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.others.append((name, arguments))

    def of(self, name: str) -> list[Any]:
        return [arguments for each, arguments in self.others if each == name]


@pytest.fixture(autouse=True)
def simple_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def record(cell: Any, failure: Failure, specification: Any) -> Any:
        return SimpleNamespace(status=failure.status, reason=failure.reason)

    monkeypatch.setattr("harness.execution.pool.record_without_value", record)


def task_of(name: str, *metrics: str) -> Task:
    model = SimpleNamespace(name=name)
    fit = SimpleNamespace(key=name, model=model, budget="some")
    cells = tuple(SimpleNamespace(key=f"{name} {metric}", fit=fit) for metric in metrics)
    return Task((fit,), cells, isolated=True)  # type: ignore[arg-type]


def fitted(name: str) -> list[Any]:
    return [("fit_started", ([name],)), ("fit_ended", ([name], "ok", 1.0))]


def ended(key: str, status: str = "ok") -> list[Any]:
    record = SimpleNamespace(status=status, reason=None)
    return [("cell_started", (key,)), ("cell_ended", (key, record, None))]


over = ("task_ended", ())


def work(script: Script, *tasks: Task, jobs: int = 1, limits: Limits = Limits()) -> Events:  # noqa: B008
    events = Events()
    specification: Any = SimpleNamespace(limits=limits)
    WorkerPool(tasks, specification, events, Jobs(jobs, jobs), script).work()  # type: ignore[arg-type]
    assert script.is_closed
    assert script.workers == []
    return events


def test_a_worker_that_ends_in_a_cell_costs_this_cell_and_another_measures_the_rest() -> None:
    first = Scripted(*fitted("a"), *ended("a x"), ("cell_started", ("a y",)), end=End(0))
    script = Script(first, Scripted(*ended("a z"), over))
    events = work(script, task_of("a", "x", "y", "z"))
    status, reason = events.ended.pop("a y")
    assert status == "error"
    assert "exit code 0 before the work was done, as os._exit(0) does" in str(reason)
    assert events.ended == {"a x": ("ok", None), "a z": ("ok", None)}
    assert script.started[1].assigned == [Assignment(("a",), ("a z",), is_fitted=True)]
    assert events.of("fit_failed") == []


def test_a_worker_that_ends_while_it_trains_costs_all_cells_of_the_fit() -> None:
    script = Script(Scripted(("fit_started", (["a"],)), end=End(-11, "SIGSEGV")), Scripted(*ended("b x"), over))
    events = work(script, task_of("a", "x", "y"), task_of("b", "x"))
    assert {key: status for key, (status, _) in events.ended.items()} == {"a x": "error", "a y": "error", "b x": "ok"}
    assert "crashed with SIGSEGV" in str(events.ended["a x"][1])
    assert [fit.key for fit, _ in events.of("fit_failed")] == ["a"]
    assert [status for _, status, _ in events.of("fit_ended")] == ["error"]


def test_figures_that_end_a_worker_cost_no_cell_but_once() -> None:
    dead = End(-11, "SIGSEGV")
    script = Script(Scripted(*fitted("a"), end=dead), Scripted(*ended("a x"), over))
    events = work(script, task_of("a", "x"))
    assert events.ended == {"a x": ("ok", None)}
    assert "not all figures of a could be drawn" in events.of("warn")[0][0]
    script = Script(Scripted(*fitted("a"), end=dead), Scripted(*fitted("a"), end=dead))  # the fit cannot be stored
    assert work(script, task_of("a", "x")).ended["a x"][0] == "error"


@pytest.mark.parametrize(("memory", "status"), [(900, "out-of-memory"), (500, "killed")])
def test_a_process_that_is_killed_near_the_limit_of_memory_is_out_of_memory(memory: int, status: str) -> None:
    worker = Scripted(("cell_started", ("a x",)), end=End(-9, "SIGKILL"), memory=memory * mebibyte)
    events = work(Script(worker), task_of("a", "x"), limits=Limits(memory=1000 * mebibyte))
    found, reason = events.ended["a x"]
    assert found == status
    assert f"the most memory seen is {memory} MiB" in str(reason)


def test_a_worker_above_the_limit_of_memory_is_stopped_and_not_tried_again() -> None:
    worker = Scripted(("cell_started", ("a x",)), memory=2 * mebibyte)
    events = work(Script(worker, Scripted(*ended("b x"), over)), task_of("a", "x"), task_of("b", "x"), jobs=2,
                  limits=Limits(memory=mebibyte))  # fmt: skip
    status, reason = events.ended["a x"]
    assert status == "out-of-memory"
    assert str(reason).startswith("its processes used 2 MiB; the limit is 1 MiB")


@pytest.mark.parametrize(("limits", "status"), [
    (Limits(timeout=0.2), "timeout"), (Limits(hang_after=0.2), "hung")
])  # fmt: skip
def test_a_worker_that_is_slow_or_hangs_is_stopped(limits: Limits, status: str) -> None:
    events = work(Script(Scripted(("cell_started", ("a x",)))), task_of("a", "x"), limits=limits)
    found, reason = events.ended["a x"]
    assert found == status
    assert "the limit is 0.2 s" in str(reason)


def test_a_beat_is_progress_but_takes_time() -> None:
    class Beating(Scripted):
        def receive(self) -> Any:
            return super().receive() if len(self.messages) > 1 or self.end is not None else ("beat", ())

    def beating() -> Beating:
        return Beating(("cell_started", ("a x",)), ("beat", ()))

    events = work(Script(beating()), task_of("a", "x"), limits=Limits(timeout=0.5, hang_after=0.2))
    assert events.ended["a x"][0] == "timeout"


def test_a_cell_that_ended_just_before_its_worker_was_stopped_keeps_its_value() -> None:
    worker = Scripted(("cell_started", ("a x",)), last_words=ended("a x")[1:])
    script = Script(worker, Scripted(*ended("a y"), over))
    events = work(script, task_of("a", "x", "y"), limits=Limits(timeout=0.2))
    assert events.ended == {"a x": ("ok", None), "a y": ("ok", None)}


def test_what_finds_no_memory_beside_others_is_tried_once_more_alone() -> None:
    short = [("fit_started", (["a"],)), ("fit_failed", ("a", Failure("out-of-memory", "no room")))]
    script = Script(
        Scripted(*short, *ended("a x", "out-of-memory"), over),
        Scripted(*ended("b x"), over),
        Scripted(*fitted("a"), *ended("a x"), over),
    )
    events = work(script, task_of("a", "x"), task_of("b", "x"), jobs=2)
    assert events.ended == {"a x": ("ok", None), "b x": ("ok", None)}
    assert script.beside == [0, 1, 0]
    assert script.started[2].assigned == [Assignment(("a",), ("a x",))]
    assert events.of("announce") == [("a found no memory beside other fits; it is tried once more, alone",)]


def test_what_finds_no_memory_alone_is_not_tried_again() -> None:
    script = Script(Scripted(*fitted("a"), *ended("a x", "out-of-memory"), over))
    assert work(script, task_of("a", "x")).ended["a x"][0] == "out-of-memory"
    again = Script(
        Scripted(*fitted("a"), *ended("a x", "out-of-memory"), over),
        Scripted(*ended("b x"), over),
        Scripted(*ended("a x", "out-of-memory"), over),
    )
    assert work(again, task_of("a", "x"), task_of("b", "x"), jobs=2).ended["a x"][0] == "out-of-memory"
    assert again.started[2].assigned == [Assignment(("a",), ("a x",), is_fitted=True)]


def test_what_the_kernel_has_killed_for_memory_is_tried_once_more_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kills = iter(range(100))
    monkeypatch.setattr("harness.execution.pool._memory_kills", lambda: next(kills))
    killed = [("cell_started", ("a x",))]
    script = Script(
        Scripted(*fitted("a"), *killed, end=End(-9, "SIGKILL")),
        Scripted(*ended("b x"), over),
        Scripted(*killed, end=End(-9, "SIGKILL")),
    )
    events = work(script, task_of("a", "x"), task_of("b", "x"), jobs=2)
    assert events.ended["a x"][0] == "killed"
    assert "meanwhile the kernel has ended a process for lack of memory" in str(events.ended["a x"][1])


def test_cells_that_finished_before_an_interruption_are_kept() -> None:
    class Interrupted(Events):
        """The user interrupts it as the first fit is shown."""

        def fit_started(self, fits: object) -> None:
            raise KeyboardInterrupt

    events, script = Interrupted(), Script(Scripted(("fit_started", (["a"],)), *ended("a x"), over))
    specification: Any = SimpleNamespace(limits=Limits())
    with pytest.raises(KeyboardInterrupt):
        WorkerPool([task_of("a", "x")], specification, events, Jobs(), script).work()  # type: ignore[arg-type]
    assert events.ended == {"a x": ("ok", None)}
    assert script.is_closed


def test_a_signal_that_arrives_while_a_message_is_received_loses_nothing() -> None:
    class Signalled(Scripted):
        """Its messages are followed by Ctrl-C before they have been passed on."""

        def receive(self) -> Any:
            message = super().receive()
            if message[0] == "fit_started":
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0)  # Python runs the handler here
            return message

    events, script = Events(), Script(Signalled(*fitted("a"), *ended("a x"), over))
    specification: Any = SimpleNamespace(limits=Limits())
    with pytest.raises(KeyboardInterrupt):
        WorkerPool([task_of("a", "x")], specification, events, Jobs(), script).work()  # type: ignore[arg-type]
    assert [len(events.of(name)) for name in ("fit_started", "fit_ended", "cell_started")] == [1, 1, 1]
    assert events.ended == {"a x": ("ok", None)}
