"""Timings in rounds: each in a fresh process, in turn, and combined to a mean with its error over rounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

plugin = '''
import os
import time

import harness
from pathlib import Path

log = Path(LOG)


class Clock:
    """Gives the number of its round, and notes the process and the model."""

    unit, direction, times_the_machine, depends_on_seed = "ticks", "lower", True, False

    def __init__(self, config):
        pass

    def measure(self, model, data, context):
        with log.open("a") as file:
            print(os.getpid(), type(model).__name__, file=file)
        done = log.read_text().splitlines()
        number = sum(line.split()[1] == type(model).__name__ for line in done)
        AT_ROUND
        return harness.Estimate(float(number**2), 0.0, 1, parts={"number": number}, threads=1,
                                warning="odd" if number % 2 else None)


class Refit(Clock):
    depends_on_seed = True


@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("clock", Clock, "ticks"), harness.MetricSpec("refit-clock", Refit, "ticks")]
'''

Records = dict[tuple[str, str, int], dict[str, Any]]
Timed = tuple[Any, Records, list[tuple[str, str]]]


@pytest.fixture
def timed(call, tmp_path: Path) -> Callable[..., Timed]:
    """Return a function that times PCA and PPCA; it returns how it ended, the records and the measurements."""

    def timed(*words: str, at_round: str = "", resumed: bool = False) -> Timed:
        log = tmp_path / "log"
        if not resumed:
            log.write_text("")
        file = tmp_path / "clock.py"
        file.write_text(plugin.replace("LOG", repr(str(log))).replace("AT_ROUND", at_round))
        sizes = ("--set", "pca.latent_dim=2", "--set", "ppca.latent_dim=2")
        chosen = ("--models", "pca,ppca", "--dataset", "ppca-toy", *sizes, "--no-figures")
        resumes = () if resumed else ("--fresh",)
        done = call("run", "--plugin", str(file), *chosen, "--metric", "clock", *resumes, *words)
        file = tmp_path / "runs" / "records.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        records = {
            (each["model"]["name"], each["metric"]["name"], each["seed"]): each for each in map(json.loads, lines)
        }
        return done, records, [tuple(line.split()) for line in log.read_text().splitlines()]  # type: ignore[misc]

    return timed


def test_each_round_times_every_fit_in_a_process_of_its_own_and_in_another_order(timed) -> None:
    done, records, calls = timed("--timing-rounds", "3", "--seeds", "2")
    assert done.code == 0
    assert len({process for process, _ in calls}) == len(calls) == 6
    orders = [tuple(name for _, name in calls[at : at + 2]) for at in (0, 2, 4)]
    assert [set(order) for order in orders] == [{"PCA", "PPCA"}] * 3
    assert {order[0] for order in orders} == {"PCA", "PPCA"}
    assert set(records) == {("pca", "clock", 0), ("ppca", "clock", 0)}  # the value is the same for every seed
    values = [1.0, 4.0, 9.0]
    for record in records.values():
        assert record["value"] == pytest.approx(fmean(values))
        assert record["stderr"] == pytest.approx(stdev(values) / math.sqrt(3))
        assert (record["n"], record["counted"], record["degrees_of_freedom"]) == (3, "rounds", 2)
        assert record["samples"] == values
        assert record["parts"] == {"number": 2}
        assert record["warning"] == "2 of 3 rounds: odd"
    (group,) = {record["timing_group"] for record in records.values()}
    _, later, _ = timed("--timing-rounds", "2")
    assert {record["timing_group"] for record in later.values()}.isdisjoint({group, None})


def test_a_metric_that_depends_on_the_seed_is_timed_for_each(timed) -> None:
    _, records, calls = timed("--metric", "refit-clock", "--timing-rounds", "2", "--seeds", "2")
    assert {key for key in records if key[1] == "refit-clock"} == {
        (model, "refit-clock", seed) for model in ("pca", "ppca") for seed in (0, 1)
    }
    assert len({process for process, _ in calls}) == 2 * 4  # a process a round and fit, for both metrics


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("if number == 2: raise ValueError('worn out')", "error", "in round 2: ValueError: worn out"),
        ("if number == 2: os._exit(7)", "error", "in round 2: its process ended with exit code 7 before"),
        ("if number == 1: raise harness.NotApplicable('no clock')", "n/a", "no clock"),
    ],
)
def test_a_failure_in_a_round_ends_the_timing_of_its_cell_only(timed, fault: str, status: str, reason: str) -> None:
    done, records, calls = timed(
        "--timing-rounds", "3", at_round=f"if type(model).__name__ == 'PCA':\n            {fault}"
    )
    failed, other = records["pca", "clock", 0], records["ppca", "clock", 0]
    assert failed["status"] == status
    assert failed["reason"].startswith(reason)
    assert failed["value"] is None
    assert other["n"] == 3
    assert done.code == (3 if status == "error" else 0)
    assert [name for _, name in calls].count("PCA") == (2 if "round 2" in reason else 1)


# Ctrl-C in the second round, once.
interruption = """
        interrupted = log.with_name("interrupted")
        if number == 2 and type(model).__name__ == "PPCA" and not interrupted.exists():
            interrupted.touch()
            import multiprocessing, signal
            os.kill(multiprocessing.parent_process().pid, signal.SIGINT)
            time.sleep(60)
        """


def test_interrupted_timings_go_on_with_the_round_they_were_in(timed, tmp_path: Path) -> None:
    done, records, calls = timed("--timing-rounds", "3", at_round=interruption)
    assert done.code == 130
    assert "timings: resume after round 1 of 3" in done.err
    assert records == {}
    assert [name for _, name in calls] == ["PCA", "PPCA", "PPCA"]

    done, records, calls = timed("--timing-rounds", "3", at_round=interruption, resumed=True)
    assert done.code == 0
    assert "resuming the timings after round 1 of 3" in done.err
    assert sorted(name for _, name in calls[3:]) == ["PCA", "PCA", "PPCA", "PPCA"]
    assert records["pca", "clock", 0]["samples"] == [1.0, 4.0, 9.0]
    assert records["ppca", "clock", 0]["samples"] == [1.0, 9.0, 16.0]  # without the one that was interrupted
    assert len({record["timing_group"] for record in records.values()}) == 1
    assert list((tmp_path / "runs" / "timings").iterdir()) == []

    done, _, calls = timed("--timing-rounds", "3", at_round=interruption)
    assert done.code == 0
    assert len(calls) == 6  # --fresh begins again


def test_what_is_kept_of_timings_is_verified_and_dropped_when_it_is_of_no_use(timed, call, tmp_path: Path) -> None:
    assert timed("--timing-rounds", "3", at_round=interruption)[0].code == 130
    (kept,) = (tmp_path / "runs" / "timings").glob("*/records.jsonl")
    assert call("store", "verify").code == 0
    assert "timings" not in call("store", "gc").out
    lines = kept.read_bytes().splitlines(keepends=True)
    kept.write_bytes(lines[0].replace(b'"value":', b'"valve":', 1) + b"".join(lines[1:]))
    damaged = call("store", "verify")
    assert damaged.code == 1
    assert f"{kept.relative_to(tmp_path)}, line 1: " in damaged.out + damaged.err

    done, records, _ = timed("--timing-rounds", "3", at_round=interruption, resumed=True)
    assert done.code == 0
    assert [record["n"] for record in records.values()] == [3, 3]
    kept.parent.mkdir()
    kept.write_bytes(b"".join(lines))
    assert "its timings are finished" in call("store", "gc").out
