"""Runs that use one store at the same time share the work: all is computed once, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from harness.cli import main
from harness.execution.workers import start_process

# Each fit and each measurement leaves a line. Runs begin when there is a file "go"; fits end when there is none "hold".
plugin = """
import os
import time
from pathlib import Path
import torch
import harness

Path(f"ready-{os.getpid()}").touch()
while not Path("go").exists():
    time.sleep(0.01)

def note(line):
    with Path("work").open("a") as file:
        file.write(f"{line}\\n")

class Tiny:
    def __init__(self, config): pass
    def load(self, source):
        g = torch.Generator().manual_seed(1)
        return harness.Data.from_tensors(*(harness.Examples(torch.rand(20, 5, generator=g)) for _ in range(3)))

class Slow(torch.nn.Module):
    Config = harness.NoSettings
    def __init__(self, info, config):
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, 5))
    def fit(self, train, noise):
        note(f"fit {noise.normal(1).item()}")
        time.sleep(0.3)
        while Path("hold").exists():
            time.sleep(0.01)
        self.mean.copy_(noise.normal(5).unsqueeze(0))
    def reconstruct(self, x):
        return self.mean.expand_as(x)

class Distance:
    needs = (harness.Reconstructs,)
    unit, direction = "", "lower"
    def __init__(self, config): pass
    def measure(self, model, data, context):
        note(f"measure {type(self).__name__} {model.mean[0, 0].item()}")
        time.sleep(0.1)
        return harness.Estimate(float(model.mean.abs().sum()), 0.0, 20)

class Square(Distance):
    pass

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("tiny", Tiny, "tiny")]

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("slow", Slow, "slow")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("distance", Distance, "d"), harness.MetricSpec("square", Square, "s")]
"""


def carry_out(connection: Connection, words: Sequence[str], folder: Path, output: Path) -> None:
    """Run the command line as a process that a shell has started."""
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 -- what the server had was opened for another file
    sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
    main(words)


class Started:
    """A run in a process of its own, which is forked from the server of workers, so that it need not import torch."""

    def __init__(self, words: Sequence[str], folder: Path, output: Path, cache: Path) -> None:
        output.touch()
        environment = {"HARNESS_DATA_DIR": "", "HARNESS_CACHE_DIR": str(cache)}
        self.process, _, _ = start_process(carry_out, words, folder, output, environment=environment)

    def wait(self, seconds: float) -> int:
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it goes on"
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


class Runs:
    """Starts runs in a folder, which wait for each other before they begin."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache = folder, cache
        self.started: list[Started] = []
        (folder / "plugin.py").write_text(plugin)

    def start(self, *words: str) -> Started:
        command = ["run", "--plugin", "plugin.py", "--models", "slow", "--metric", "distance,square"]
        command += ["--dataset", "tiny", "--no-figures", *words]
        output = self.folder / f"out-{len(self.started)}"
        self.started.append(Started(command, self.folder, output, self.cache))
        return self.started[-1]

    def output(self, number: int) -> str:
        return " ".join((self.folder / f"out-{number}").read_text().split())

    def outputs(self) -> str:
        return "\n".join(self.output(i) for i in range(len(self.started)))  # of a string, pytest shows all

    def begin(self, n: int) -> None:
        """Let runs begin once ``n`` of them are ready."""
        self.wait_for(lambda: len(list(self.folder.glob("ready-*"))) >= n)
        (self.folder / "go").touch()

    def work(self) -> list[str]:
        path = self.folder / "work"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < until, self.outputs()
            time.sleep(0.02)

    def cells(self) -> list[str]:
        return [
            json.loads(line)["cell_key"] for line in (self.folder / "runs" / "records.jsonl").read_text().splitlines()
        ]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache that knows that the plugin was checked, since the checks call it too."""
    first = Runs(tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("cache"))
    (first.folder / "go").touch()
    assert first.start("--seeds", "1").wait(120) == 0, first.output(0)
    return first.cache


@pytest.fixture
def runs(tmp_path: Path, checked: Path) -> Iterator[Runs]:
    runs = Runs(tmp_path, checked)
    yield runs
    for each in runs.started:
        each.process.kill()
        each.process.join()


def most(lines: Sequence[str]) -> int:
    """Return how often the most frequent line occurs."""
    return max(Counter(lines).values())


@pytest.mark.parametrize(("n", "jobs"), [(2, 2), (4, 1)])
def test_runs_started_together_compute_each_fit_and_each_cell_once(runs: Runs, n: int, jobs: int) -> None:
    processes = [runs.start("--seeds", "5", "--jobs", str(jobs)) for _ in range(n)]
    runs.begin(n)
    assert [process.wait(120) for process in processes] == [0] * n, runs.outputs()
    work = runs.work()
    assert most(work) == 1
    assert len(work) == 5 + 10
    assert most(runs.cells()) == 1
    assert len(runs.cells()) == 10
    boards = {runs.output(i).partition("wrote")[0].partition("tiny ·")[2] for i in range(n)}
    assert len(boards) == 1, "every run shows the results of all"


def test_the_work_of_a_run_that_was_killed_is_taken_over(runs: Runs) -> None:
    jobs = 2  # so that the processes that do the work outlive the one that was killed
    (runs.folder / "hold").touch()
    killed = runs.start("--seeds", str(jobs), "--jobs", str(jobs))
    runs.begin(1)
    runs.wait_for(lambda: len(runs.work()) == jobs)
    other = runs.start("--seeds", str(jobs), "--jobs", str(jobs))
    runs.wait_for(lambda: f"waits for {2 * jobs} cells that another run computes" in runs.output(1))
    killed.send_signal(signal.SIGKILL)
    runs.wait_for(lambda: len(runs.work()) == 2 * jobs)
    (runs.folder / "hold").unlink()
    assert other.wait(120) == 0, runs.output(1)
    assert sorted(Counter(runs.cells()).values()) == [1] * 2 * jobs
    assert most([line for line in runs.work() if "measure" in line]) == 1


def test_a_run_that_waits_can_be_interrupted(runs: Runs) -> None:
    (runs.folder / "hold").touch()
    works = runs.start("--seeds", "1")
    runs.begin(1)
    runs.wait_for(lambda: bool(runs.work()))
    waits = runs.start("--seeds", "1")
    runs.wait_for(lambda: "waits for 2 cells" in runs.output(1))
    waits.send_signal(signal.SIGINT)
    assert waits.wait(60) == 130
    assert "interrupted: 0 finished cells stored" in runs.output(1)
    (runs.folder / "hold").unlink()
    assert works.wait(120) == 0
    assert len(runs.cells()) == 2


def test_a_run_does_other_work_before_it_waits(runs: Runs) -> None:
    (runs.folder / "hold").touch()
    first = runs.start("--seeds", "1")
    runs.begin(1)
    runs.wait_for(lambda: bool(runs.work()))
    second = runs.start("--seeds", "2")
    runs.wait_for(lambda: len(runs.work()) == 2)
    (runs.folder / "hold").unlink()
    assert [each.wait(120) for each in (first, second)] == [0, 0]
    assert most(runs.work()) == 1
    assert len(runs.cells()) == 4
