"""A run that is killed or interrupted leaves no process and nothing half done, and the next one completes it."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import pytest
from fault_trials import Kills, trials
from faulty_runs import Runs

# A child and a daemon in the loss, and a slow measurement: there is something to leave behind at most moments.
grid = ("--metric", "mean,measured,reconstruction-mse", "--seeds", "2", "--jobs", "2",
        "--set", "faulty.fault=none,child,daemon", "--set", "faulty.place=loss")  # fmt: skip
Values = dict[str, float | None]


def values_of(runs: Runs) -> Values:
    """Return the values by cell, each of which must have one record."""
    lines = runs.lines()
    counts = Counter(line["cell_key"] for line in lines)
    assert [key for key, count in counts.items() if count > 1] == []
    return {line["cell_key"]: line["value"] for line in lines}


def has_records(runs: Runs, number: int = 1) -> bool:
    file = runs.folder / "runs" / "records.jsonl"
    return file.exists() and len(file.read_text().splitlines()) >= number


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


hang = ("--metric", "mean,measured", "--seeds", "1", "--set", "faulty.place=measure")


def test_a_run_that_is_killed_leaves_no_process(runs: Runs) -> None:
    process = runs.start(*hang, "--set", "faulty.fault=daemons-and-hang")
    wait_until(lambda: has_records(runs), process)
    time.sleep(0.5)
    process.kill()
    process.communicate()
    assert runs.alive() == []


in_the_whole_form = [pytest.param(each, marks=pytest.mark.faults) for each in (signal.SIGINT, signal.SIGHUP)]


@pytest.mark.parametrize("number", [signal.SIGTERM, *in_the_whole_form])
def test_what_ends_a_process_interrupts_a_run(runs: Runs, number: signal.Signals) -> None:
    process = runs.start(*hang, "--set", "faulty.fault=stubborn-hang")
    wait_until(lambda: has_records(runs), process)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "1 finished cell stored; the same command resumes the run" in err
    assert "wrote leaderboards/tiny.md" in out
    assert runs.alive() == []
    assert [line["status"] for line in runs.lines()] == ["ok"]


@pytest.mark.faults
def test_a_second_signal_ends_a_run_at_once(runs: Runs) -> None:
    process = runs.start(*hang, "--set", "faulty.fault=stubborn-hang")
    wait_until(lambda: has_records(runs), process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.4)  # within the second that a stubborn worker has
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "wrote" not in out
    assert runs.alive() == []


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[float, Values]:
    """Return the seconds and the values of a run that is not killed."""
    runs = Runs(tmp_path_factory.mktemp("undisturbed"))
    start = time.monotonic()
    assert runs.run(*grid)[0] == 0
    return time.monotonic() - start, values_of(runs)


@pytest.mark.faults
@pytest.mark.parametrize("trial", range(max(trials // 2, 1)))
def test_runs_killed_at_random_moments(runs: Runs, trial: int, undisturbed: tuple[float, Values], kills: Kills) -> None:
    seconds, values = undisturbed
    moments = random.Random(trial)
    for attempt in range(12):
        process = runs.start(*grid)
        try:
            process.wait(moments.uniform(0.2, 0.7) * seconds if attempt < 6 else 3000)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()
        if process.returncode == 0:
            break
        left = runs.alive()
        kills.killed += 1
        kills.left_nothing += not left
        assert left == []
    is_equal = values_of(runs) == values
    kills.completed += 1
    kills.right += is_equal and not runs.leftovers()
    assert is_equal
    assert runs.leftovers() == []
