"""Timings in rounds: each in a fresh process, in turn, and combined to a mean with its error over rounds."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

from harness.execution.timings import order_of_round
from harness.results.comparison import Measured, rank_ranges

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
        parts = {"batch size": 8**number, "share": 2**number / 10}
        AT_ROUND
        return harness.Estimate(float(number**2), 0.0, 1, threads=1, parts=parts,
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
    """Return a function that times models; it returns how it ended, the records and the measurements."""

    def timed(*words: str, models: str = "pca,ppca", at_round: str = "", resumed: bool = False) -> Timed:
        log = tmp_path / "log"
        if not resumed:
            log.write_text("")
        file = tmp_path / "clock.py"
        file.write_text(plugin.replace("LOG", repr(str(log))).replace("AT_ROUND", at_round))
        sizes = [word for model in models.split(",") for word in ("--set", f"{model}.latent_dim=2")]
        chosen = ("--models", models, "--dataset", "ppca-toy", *sizes, "--no-figures")
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
        assert record["parts"] == {"batch size": 64, "share": pytest.approx((0.2 + 0.4 + 0.8) / 3)}
        assert record["warning"] == "2 of 3 rounds: odd"
    (group,) = {record["timing_group"] for record in records.values()}
    _, later, _ = timed("--timing-rounds", "2")
    assert {record["timing_group"] for record in later.values()}.isdisjoint({group, None})
    assert [record["parts"]["batch size"] for record in later.values()] == [8, 8]  # 36 was the size of no batch


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


def test_a_part_that_is_infinite_in_a_round_is_left_out_also_when_timings_go_on(timed) -> None:
    given = {"at_round": f"parts['share'] = float('inf') if number == 1 else 0.5\n{interruption}"}
    assert timed("--timing-rounds", "3", **given)[0].code == 130
    done, records, _ = timed("--timing-rounds", "3", **given, resumed=True)
    assert done.code == 0
    assert [list(record["parts"]) for record in records.values()] == [["batch size"], ["batch size"]]


def test_the_orders_of_rounds_are_drawn_with_their_reverse_and_stay_when_timings_go_on(timed) -> None:
    models = {"pca": "PCA", "ppca": "PPCA", "factor-analysis": "FactorAnalysis"}
    given = {"models": ",".join(models), "at_round": interruption.replace("number == 2", "number == 4")}
    assert timed("--timing-rounds", "5", **given)[0].code == 130
    _, records, calls = timed("--timing-rounds", "5", **given, resumed=True)
    (group,) = {record["timing_group"] for record in records.values()}
    names = {record["fit_key"]: models[model] for (model, _, _), record in records.items()}
    orders = [[names[fit] for fit in order_of_round(list(names), group, number)] for number in range(5)]
    assert orders[1] == orders[0][::-1]
    assert orders[3] == orders[2][::-1]
    orders[3].insert(orders[3].index("PPCA"), "PPCA")  # interrupted, and timed once more
    assert [name for _, name in calls] == [name for order in orders for name in order]


def test_a_round_has_the_reverse_of_the_order_before_or_an_order_of_its_own() -> None:
    rows = [f"row {number}" for number in range(6)]
    orders = [order_of_round(rows, "group", number) for number in range(20)]
    assert all(sorted(order) == rows for order in orders)
    assert all(second == first[::-1] for first, second in zip(orders[::2], orders[1::2], strict=True))
    after_the_first_row = {dict(pairwise(order)).get(rows[0]) for order in orders}
    assert after_the_first_row == {*rows[1:], None}
    assert orders != [order_of_round(rows, "another group", number) for number in range(20)]
    of_some = [order_of_round(rows[1:], "group", number) for number in range(20)]
    assert of_some == [[row for row in order if row != rows[0]] for order in orders]


def test_two_rows_alternate() -> None:
    assert ["".join(order_of_round("ab", "group", number)) for number in range(5)] == ["ab", "ba", "ba", "ab", "ab"]


@pytest.mark.parametrize("rows", [2, 3, 10, 20])
def test_a_machine_that_heats_up_within_each_round_causes_no_false_claims(rows: int) -> None:
    """By 5% from the first process to the last, with 1% of noise; the bound is the level and two standard errors."""
    names, rounds, boards = [str(row) for row in range(rows)], 5, 200
    rng = np.random.default_rng(0)
    wrong = 0
    for board in range(boards):
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            for place, name in enumerate(order_of_round(names, str(board), number)):
                seconds[name].append(1 + 0.05 * place / (rows - 1) + rng.normal(0, 0.01))
        errors = {name: stdev(each) / math.sqrt(rounds) for name, each in seconds.items()}
        measured = [
            Measured({0: fmean(seconds[name])}, (errors[name],), rounds - 1, measurement_stderr=errors[name])
            for name in names
        ]
        low, high, _ = rank_ranges(measured, "lower")
        wrong += bool(((low > 1) | (high < rows)).any())
    assert wrong / boards <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / boards)


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
