"""Work is divided among processes."""

from __future__ import annotations

import json
import os
import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_models import mean_model, tiny_data_set

from harness.execution.workers import start_process

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = (
    tiny_data_set
    + mean_model
    + """
import os, signal, sys

class Killed(Mean):
    def loss(self, x, noise):
        os.kill(os.getpid(), signal.SIGKILL)

class Where:
    unit, direction, needs = "process", "lower", ()
    def __init__(self, config): pass
    def measure(self, model, data, context):
        large = [each for each in ("matplotlib.figure", "torch._dynamo", "sympy") if each in sys.modules]
        found = {"process": os.getpid(), "threads": torch.get_num_threads(), "large": large}
        return harness.Estimate(1.0, None, 1, diagnostics=found)

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "small")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("mean", Mean, "a mean"), harness.ModelSpec("killed", Killed, "dies")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("where", Where, "reports its process")]
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(plugin)
    return tmp_path


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "runs" / "records.jsonl").read_text().splitlines()]


def words(models: str, metric: str, *more: str) -> list[str]:
    run = ["run", "--plugin", "mine.py", "--dataset", "tiny", "--no-figures", "--epochs", "1"]
    return [*run, "--models", models, "--metric", metric, *more]


def test_the_number_of_processes_changes_no_value_and_no_key(call: Call, folder: Path) -> None:
    found = []
    for jobs in ("1", "2", "3"):
        done = call(*words("mean,pca", "reconstruction-mse", "--seeds", "3", "--jobs", jobs, "--runs", f"runs-{jobs}"))
        assert done.code == 0
        lines = (folder / f"runs-{jobs}" / "records.jsonl").read_text().splitlines()
        found.append({each["cell_key"]: each["value"] for each in map(json.loads, lines)})
    assert len(found[0]) == 6
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_each_fit_of_a_plugin_file_has_a_process_with_the_threads_of_one_fit(
    call: Call, folder: Path, jobs: str
) -> None:
    assert call(*words("mean", "where", "--seeds", "4", "--jobs", jobs)).code == 0
    seen = [each["diagnostics"] for each in records(folder)]
    assert {each["threads"] for each in seen} == {1}
    assert len({each["process"] for each in seen} - {os.getpid()}) == 4


@pytest.mark.parametrize(("more", "message"), [
    ((), "5 fits in 2 processes, 1 thread each, the last 3 together\n"),
    (("--jobs", "2"), "5 fits in 2 processes, 1 thread each\n"),
])  # fmt: skip
def test_the_last_fits_of_an_odd_number_share_two_cores(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch, more: tuple[str, ...], message: str
) -> None:
    monkeypatch.setattr("harness.execution.jobs.cores", lambda: 2)
    command = ["--seeds", "5", "--steps", "400", "--runs", "runs", *more]
    done = call(*[word for word in words("mean", "where", *command) if word not in ("--epochs", "1")])
    assert done.code == 0
    assert message in done.err
    assert len({each["diagnostics"]["process"] for each in records(folder)}) == 5  # each has one of its own


def test_a_worker_that_is_killed_costs_its_own_cells_only(call: Call, folder: Path) -> None:
    done = call(*words("killed,mean", "reconstruction-mse,where", "--seeds", "2", "--jobs", "2"))
    assert done.code == 3
    ended = {(each["model"]["name"], each["seed"], each["metric"]["name"]): each for each in records(folder)}
    assert len(ended) == 8
    for (model, _, _), record in ended.items():
        if model == "killed":
            assert record["status"] == "killed"
            assert record["reason"].startswith("its process was ended by SIGKILL, after ")
        else:
            assert record["status"] == "ok"


def test_a_fit_that_killed_its_worker_is_not_trained_again_for_a_timing(call: Call, folder: Path) -> None:
    quick = ("--timing-rounds", "2", "--set", "latency.calls=20", "--set", "latency.load_limit=1")
    assert call(*words("killed,mean", "reconstruction-mse,latency", "--jobs", "2", *quick)).code == 3
    ended = {(each["model"]["name"], each["metric"]["name"]): each for each in records(folder)}
    assert ended["mean", "latency"]["status"] == "ok"
    assert ended["killed", "latency"]["status"] == "killed"
    assert "SIGKILL" in ended["killed", "latency"]["reason"]


def test_a_fit_of_a_worker_is_used_by_the_next_run(call: Call, folder: Path) -> None:
    call(*words("mean", "where", "--seeds", "2", "--jobs", "2"))
    done = call(*words("mean", "reconstruction-mse", "--seeds", "2"))
    assert "fitting" not in done.err
    assert done.code == 0


large = ("matplotlib.figure", "torch._dynamo", "sympy")


def send_what_is_imported(connection: Connection) -> None:
    connection.send([each for each in large if each in sys.modules])


def test_the_server_of_workers_imports_what_takes_long_once_for_all() -> None:
    process, connection, _ = start_process(send_what_is_imported)
    assert connection.recv() == ["matplotlib.figure"]
    process.join()


def test_the_server_of_workers_imports_only_what_a_run_needs(tmp_path: Path, harness: Call) -> None:
    listed = f"import sys\nopen('imported', 'a').write(' '.join(e for e in {large} if e in sys.modules) + '\\n')\n"
    (tmp_path / "mine.py").write_text(listed + tiny_data_set + "@harness.hookimpl\ndef harness_datasets():\n"
                                      "    return [harness.DatasetSpec('tiny', Tiny, 'small')]\n")  # fmt: skip
    words = ("--models", "pca", "--set", "pca.latent_dim=2", "--metric", "reconstruction-mse", "--dataset", "tiny")
    done = harness("run", *words, "--seeds", "1", "--isolate", "--no-figures", "--plugin", "mine.py")
    assert done.code == 0, done.err
    of_command, *of_workers = (tmp_path / "imported").read_text().splitlines()
    assert of_workers
    assert {of_command, *of_workers} == {""}


@pytest.mark.parametrize("how", ["--jobs=1", "--isolate"])
def test_training_imports_no_compiler(harness: Call, folder: Path, how: str) -> None:
    done = harness(*words("vae", "where", "--seeds", "1", how))
    assert done.code == 0, done.err
    assert [each["diagnostics"]["large"] for each in records(folder)] == [[]]
