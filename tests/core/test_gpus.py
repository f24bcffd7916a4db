"""Several GPUs of one machine: which one each worker sees, and how many workers there are."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import mean_model, tiny_data_set

from harness import UsageError
from harness.contracts.engine import Engine
from harness.execution.jobs import Jobs, jobs_for
from harness.machine.device import gpus
from harness.planning.budget import Budget

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = (
    tiny_data_set
    + mean_model
    + """
import os, time

class Seen:
    unit, direction, needs = "variables", "lower", ()
    def __init__(self, config): pass
    def measure(self, model, data, context):
        began = time.time()
        time.sleep(0.1)
        names = ("CUDA_VISIBLE_DEVICES", "OF_THE_RUN")
        found = {name: os.environ[name] for name in names if name in os.environ}
        return harness.Estimate(1.0, None, 1, diagnostics={**found, "began": began, "ended": time.time()})

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "small")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("mean", Mean, "a mean")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("seen", Seen, "reports variables of its process")]
"""
)


def seen(call: Call, folder: Path, seeds: int, jobs: int) -> list[dict[str, Any]]:
    """Return what the workers of a run see of their environment."""
    (folder / "mine.py").write_text(plugin)
    chosen = ("--plugin", "mine.py", "--dataset", "tiny", "--models", "mean", "--metric", "seen", "--epochs", "1")
    done = call("run", *chosen, "--no-figures", "--fresh", "--seeds", str(seeds), "--jobs", str(jobs), "--runs", "runs")
    assert done.code == 0, done.err
    lines = (folder / "runs" / "records.jsonl").read_text().splitlines()[-seeds:]
    return [json.loads(line)["diagnostics"] for line in lines]


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let torch find three GPUs, and return the names of their models."""
    names = ["H100", "H100", "H100"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: names[number])
    return names


@pytest.mark.parametrize(("given", "expected"), [
    (None, ["0", "1", "2"]),
    ("4,2, 7", ["4", "2", "7"]),
    ("GPU-1f2a,GPU-77,GPU-90", ["GPU-1f2a", "GPU-77", "GPU-90"]),
    ("5,6,7,99,8", ["5", "6", "7"]),  # what follows the number of no GPU is not seen
])  # fmt: skip
def test_workers_use_the_gpus_that_this_process_may_see(
    three_gpus: list[str], monkeypatch: pytest.MonkeyPatch, given: str | None, expected: list[str]
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if given is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus("cuda") == expected
    assert gpus("cpu") == []


def test_gpus_of_another_model_than_the_first_are_left_out(
    three_gpus: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1,2")
    three_gpus[1] = "T4"
    assert gpus("cuda") == ["3", "2"]


def test_two_workers_at_the_same_time_see_different_gpus(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.workers.gpus", lambda device: ["4", "GPU-1f2a"])
    found = seen(call, tmp_path, seeds=5, jobs=2)
    assert {each["CUDA_VISIBLE_DEVICES"] for each in found} == {"4", "GPU-1f2a"}
    for one, other in itertools.combinations(found, 2):
        if max(one["began"], other["began"]) < min(one["ended"], other["ended"]):
            assert one["CUDA_VISIBLE_DEVICES"] != other["CUDA_VISIBLE_DEVICES"]


def test_workers_that_follow_one_another_use_the_first_gpu(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.execution.workers.gpus", lambda device: ["4", "7"])
    found = seen(call, tmp_path, seeds=2, jobs=1)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == ["4", "4"]


def test_a_worker_has_the_environment_that_the_process_has_when_it_starts_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OF_THE_RUN", raising=False)
    found = []
    for value in ("first", "second", None):
        if value is None:
            monkeypatch.delenv("OF_THE_RUN")
        else:
            monkeypatch.setenv("OF_THE_RUN", value)
        found += [each.get("OF_THE_RUN") for each in seen(call, tmp_path, seeds=1, jobs=1)]
    assert found == ["first", "second", None]


@pytest.mark.parametrize(("n", "examples", "requested", "expected"), [
    (2, 60_000, None, Jobs(2, 2)),
    (2, 60_000, 1, Jobs(1, 1)),
    (8, 60_000, None, Jobs(3, 3)),  # there are three tasks
    (2, 60, None, Jobs(1, 1)),  # which end before a second worker has begun
    (2, 60, 2, Jobs(2, 2)),
    (1, 60_000, None, Jobs(1, 1)),
    (1, 60_000, 2, "2 jobs on 1 GPU: "),
    (2, 60_000, 3, "3 jobs on 2 GPUs: "),
])  # fmt: skip
def test_there_is_one_worker_for_each_gpu(
    monkeypatch: pytest.MonkeyPatch, n: int, examples: int, requested: int | None, expected: Jobs | str
) -> None:
    monkeypatch.setattr("harness.execution.jobs.gpus", lambda device: [str(number) for number in range(n)])
    engine = Engine(device="cuda", threads=1, precision="float32", path="vectorized")
    context: Any = SimpleNamespace(
        specification=SimpleNamespace(engine=engine), training_examples=lambda dataset: examples
    )
    task: Any = SimpleNamespace(fits=[SimpleNamespace(budget=Budget(epochs=1), dataset=None)])
    if isinstance(expected, Jobs):
        assert jobs_for([task] * 3, context, requested) == expected
        return
    with pytest.raises(UsageError, match=expected):
        jobs_for([task] * 3, context, requested)
