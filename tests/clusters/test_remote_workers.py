"""Fits are carried out by workers that are reached over a network: nothing is lost, and results are the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from small_models import mean_model, tiny_data_set

from harness.errors import StoreError
from harness.execution import remote
from harness.execution.remote import RemoteWorker, RemoteWorkers, _Agent, _loaded, _Welcome
from harness.results.environment import describe_environment
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

executor = Path(__file__).with_name("executor_of_processes.py")
plugin = (
    tiny_data_set
    + mean_model
    + """
import os, time

class Exits(Mean):
    def loss(self, x, noise):
        os._exit(0)

class Slow(Mean):
    def loss(self, x, noise):
        time.sleep(0.2)
        return super().loss(x, noise)

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "small")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec(each.__name__.lower(), each, "for tests") for each in (Mean, Exits, Slow)]
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(plugin)
    return tmp_path


def words(models: str, *more: str, steps: int = 10, metric: str = "reconstruction-mse,parameters") -> list[str]:
    run = ["run", "--plugin", "mine.py", "--plugin", str(executor), "--dataset", "tiny", "--steps", str(steps)]
    return [*run, "--models", models, "--metric", metric, *more]


def records(runs: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    listed = [json.loads(line) for line in (runs / "records.jsonl").read_text().splitlines()]
    found = {(each["model"]["name"], each["metric"]["name"], each["seed"]): each for each in listed}
    assert len(found) == len(listed), "each cell once"
    return found


def stored(runs: Path) -> dict[str, bytes]:
    """Return the files of fits that do not name times."""
    kept = [path for path in runs.glob("fits/**/*") if path.suffix in (".safetensors", ".png", ".sha256")]
    return {path.relative_to(runs).as_posix(): path.read_bytes() for path in kept}


def test_results_and_files_are_those_of_a_run_on_this_machine(call: Call, folder: Path) -> None:
    for runs, where in (("here", []), ("there", ["--executor", "processes"])):
        done = call(*words("mean,pca", "--seeds", "2", "--runs", runs, *where))
        assert done.code == 0, done.err
    here, there = (records(folder / runs) for runs in ("here", "there"))
    assert here.keys() == there.keys()
    for key, record in here.items():
        compared = ("value", "stderr", "values_digest", "cell_key", "fit_key", "environment")
        assert {name: record[name] for name in compared} == {name: there[key][name] for name in compared}
    assert stored(folder / "here") == stored(folder / "there")
    assert call("store", "verify", "--runs", "there").code == 0
    assert not list((folder / "there").rglob(".*")), "nothing temporary stays"


def test_stored_fits_travel_to_the_workers_that_measure_them(call: Call, folder: Path) -> None:
    assert call(*words("mean", metric="parameters")).code == 0
    before = stored(folder / "runs")
    done = call(*words("mean", "--executor", "processes", metric="reconstruction-mse"))
    assert done.code == 0, done.err
    assert "fitting" not in done.err
    assert stored(folder / "runs") == before


def test_a_model_that_ends_its_process_costs_its_own_cells_only(call: Call, folder: Path) -> None:
    done = call(*words("exits,mean", "--executor", "processes"))
    assert done.code == 3, done.err
    found = records(folder / "runs")
    assert {key[0]: each["status"] for key, each in found.items()} == {"exits": "error", "mean": "ok"}
    assert "as os._exit(0) does" in found["exits", "parameters", 0]["reason"]


def test_work_of_a_lost_machine_goes_on_elsewhere(call: Call, folder: Path) -> None:
    settings = ["--set", "processes.kills=2", "--set", "processes.after=4", "--set", "processes.places=1"]
    done = call(*words("slow", "--executor", "processes", *settings, steps=30))
    assert done.code == 0, done.err
    assert "goes on elsewhere (2 of 3 times)" in done.err
    assert all(record["status"] == "ok" for record in records(folder / "runs").values())


def test_work_that_costs_machine_after_machine_is_given_up(call: Call, folder: Path) -> None:
    settings = ["--set", "processes.kills=4", "--set", "processes.places=1"]
    done = call(*words("mean", "--executor", "processes", *settings))
    assert done.code == 3
    assert {record["status"] for record in records(folder / "runs").values()} == {"killed"}
    assert "its agent ended with exit code -9" in done.err


def test_a_worker_on_another_machine_is_ended_when_it_exceeds_a_limit(call: Call, folder: Path) -> None:
    done = call(*words("slow,mean", "--executor", "processes", "--timeout", "3", steps=1000))
    assert done.code == 3
    found = records(folder / "runs")
    assert {key[0]: each["status"] for key, each in found.items()} == {"slow": "timeout", "mean": "ok"}


def test_wrong_executors_are_refused_before_any_work(call: Call, folder: Path) -> None:
    for options, message in (
        (["--executor", "processs"], "Did you mean 'processes'?"),
        (["--executor", "processes", "--set", "processes.places=0"], "processes.places=0: 0 is out of range"),
        (["--executor", "processes", "--set", "processes.places=1,2"], "processes.places has several values"),
        (["--executor", "processes", "--set", "processes.nodes=1"], "unknown setting of processes 'nodes'"),
        (["--executor", "processes", "--address", "a:1"], "processes has no address"),
        (["--address", "a:1"], "name it with --executor"),
    ):
        done = call(*words("mean", *options))
        assert (done.code, message in done.err) == (2, True), done.err
    assert not (folder / "runs").exists()


@pytest.fixture
def worker(tmp_path: Path) -> RemoteWorker:
    return RemoteWorker(SimpleNamespace(end=lambda: None), Store(tmp_path), threading.Condition())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["../x", "fits/../../x", "records.jsonl", "/etc/x", "fits/a\\..\\x", ""])
def test_a_worker_cannot_write_outside_of_what_workers_write(worker: RemoteWorker, name: str) -> None:
    ours, theirs = multiprocessing.Pipe()
    worker.attach(ours)
    theirs.send_bytes(pickle.dumps(("file", name, b"x")))
    method, (error,) = worker.receive()
    assert method == "failed"
    assert isinstance(error, StoreError)
    theirs.close()


def test_a_checkpoint_that_cannot_be_removed_is_a_failure_of_the_store(worker: RemoteWorker, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "a.pt").mkdir(parents=True)
    ours, theirs = multiprocessing.Pipe()
    worker.attach(ours)
    theirs.send_bytes(pickle.dumps(("gone", "checkpoints/a.pt")))
    theirs.close()
    deadline = time.monotonic() + 20
    while not worker.has_message() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert worker.has_message()
    method, (error,) = worker.receive()
    assert method == "failed"
    assert "cannot remove" in str(error)


class Evil:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def test_what_comes_from_a_worker_calls_nothing(worker: RemoteWorker, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(pickle.UnpicklingError, match="may not come from a worker"):
        _loaded(pickle.dumps(("message", Evil())))
    ours, theirs = multiprocessing.Pipe()
    worker.attach(ours)
    theirs.send_bytes(pickle.dumps(("message", Evil())))
    with pytest.raises(EOFError):
        worker.receive()
    assert "cannot be read" in worker.ended().in_words
    assert not (tmp_path / "harmed").exists()


def test_a_machine_with_other_software_is_refused(tmp_path: Path) -> None:
    import torch

    here = describe_environment(torch.device("cpu"))
    other = replace(here, distributions={**here.distributions, "torch": "1.0"})
    engine = SimpleNamespace(device="cpu")
    welcome = _Welcome(SimpleNamespace(environment=other, engine=engine), ())  # type: ignore[arg-type]
    ours, theirs = multiprocessing.Pipe()
    with pytest.raises(EOFError):
        _Agent(theirs, welcome, tmp_path).work()
    kind, (method, (error,)) = _loaded(ours.recv_bytes())
    assert (kind, method) == ("message", "failed")
    assert "for 1.0; install the same versions there" in str(error)


def test_strangers_do_not_keep_workers_out(tmp_path: Path, monkeypatch: Any) -> None:
    """A port scanner that connects and says nothing, and a program without the key."""
    specification = SimpleNamespace(store=tmp_path, plugin_files=())
    connected = threading.Event()
    monkeypatch.setattr(RemoteWorker, "attach", lambda self, connection: connected.set())
    submitted = []
    job = SimpleNamespace(end=lambda: "", cancel=lambda: None)
    cluster = SimpleNamespace(submit=lambda work: submitted.append(work) or job)
    with RemoteWorkers(specification, cluster) as workers:  # type: ignore[arg-type]
        silent = socket.create_connection(("127.0.0.1", workers._port))
        wrong = socket.create_connection(("127.0.0.1", workers._port))
        wrong.sendall(b"\x00\x00\x00\x04none")
        workers.start()
        addresses, port, key, token = submitted[0].args
        connection = remote._connected(addresses, port, key)
        connection.send_bytes(token.encode())
        assert connected.wait(20)
        for each in (silent, wrong, connection):
            each.close()


def test_the_end_waits_for_no_thread_that_accepts_connections(tmp_path: Path, monkeypatch: Any) -> None:
    """As if all had ended just before."""
    monkeypatch.setattr(RemoteWorkers, "_accept", lambda self, listener: None)
    workers = RemoteWorkers(SimpleNamespace(store=tmp_path, plugin_files=()), SimpleNamespace())  # type: ignore[arg-type]
    workers.__enter__()
    leaves = threading.Thread(target=workers.__exit__, daemon=True)
    leaves.start()
    leaves.join(20)
    assert not leaves.is_alive()


def test_an_agent_makes_way_for_one_that_waits_for_its_place(tmp_path: Path) -> None:
    """A cluster with a place less than there were, as after the loss of a machine."""
    specification = SimpleNamespace(store=tmp_path, plugin_files=())
    cluster = SimpleNamespace(submit=lambda work: SimpleNamespace(end=lambda: "", cancel=lambda: None))
    with RemoteWorkers(specification, cluster) as workers:  # type: ignore[arg-type]
        first = workers.start()
        ours, theirs = multiprocessing.Pipe()
        first.attach(ours)
        waiting = workers.start()
        workers.dismiss(first)
        orders = [theirs.recv()[0] for _ in range(4)]
        assert orders == ["welcome", "start", "dismiss", "close"]
        assert waiting.connection is None
        theirs.close()
