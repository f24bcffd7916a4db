"""Options of limits: what they refuse, where they are given, and that no cell of a plan goes without a record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import harness
from harness.execution.limits import Limits, in_bytes
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

words = ("run", "--models", "pca,linear-ae", "--metric", "reconstruction-mse", "--dataset", "tiny", "--epochs", "1",
         "--no-figures")  # fmt: skip


def records() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path("runs", "records.jsonl").read_text().splitlines()]


def test_a_cell_without_a_record_is_an_error(call: Call, faults: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Store.append

    def forget(store: Store, record: Any, values: Any = None) -> Any:
        return record if record.model["name"] == "pca" else append(store, record, values)

    monkeypatch.setattr(Store, "append", forget)
    done = call(*words, "--plugin", faults)
    assert done.code == 3
    assert "1 cell of the plan without a record:\n  reconstruction-mse of pca on tiny, seed 0\n" in done.err
    monkeypatch.undo()


def test_limits_are_no_part_of_an_identity(call: Call, faults: str) -> None:
    assert call(*words, "--plugin", faults).code == 0
    limits = ("--timeout", "10m", "--memory", "8G", "--hang-after", "5m", "--isolate")
    done = call(*words, "--plugin", faults, *limits)
    assert done.code == 0
    assert "all stored already" in done.err
    assert len(records()) == 2


def test_what_takes_longer_than_the_timeout_is_ended(call: Call, faults: str) -> None:
    (folder := Path("plugins")).mkdir()
    (folder / "slow.py").write_text(
        """
import time
import harness

class Slow:
    unit, direction = "things", "lower"
    def __init__(self, config): pass
    def measure(self, model, data, context):
        while True:
            time.sleep(0.1)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("slow", Slow, "never ends")]
"""
    )
    slow = ("--metric", "slow,reconstruction-mse", "--models", "pca", "--plugin", "plugins/slow.py")
    done = call("run", "--dataset", "tiny", "--no-figures", "--plugin", faults, *slow, "--timeout", "4s")
    assert done.code == 3
    statuses = {record["metric"]["name"]: record["status"] for record in records()}
    assert statuses == {"slow": "timeout", "reconstruction-mse": "ok"}
    assert "slow: timeout, the measurement took 4." in done.err
    (row,) = [row for row in json.loads(call("leaderboard", "--format", "json").out) if row["metric"] == "slow"]
    assert (row["status"], row["value"]) == ("timeout", None)


@pytest.mark.parametrize(("option", "message"), [
    (("--timeout", "0"), "'0' is not a length of time"),
    (("--hang-after", "soon"), "'soon' is not a length of time"),
    (("--memory", "4"), "'4' is not an amount of memory; write 500M, 4G or 1.5G"),
    (("--memory", "0G"), "'0G' is not an amount of memory"),
])  # fmt: skip
def test_limits_that_are_none_are_refused(refused: Callable[..., str], option: tuple[str, str], message: str) -> None:
    assert message in refused("run", "--models", "pca", "--metric", "elbo", *option)


def test_a_study_has_limits(call: Call, faults: str) -> None:
    limits = 'timeout = "10m"\nmemory = "8G"\nhang-after = "never"\nisolate = true\n'
    Path("study.toml").write_text(f'models = "pca"\nmetric = "elbo"\ndataset = "tiny"\nplugin = "{faults}"\n{limits}')
    assert call("run", "study.toml", "--dry-run").code == 0
    Path("study.toml").write_text('models = "pca"\nmetric = "elbo"\nmemory = "much"\n')
    done = call("run", "study.toml", "--dry-run")
    assert done.code == 2
    assert "study.toml, line 3: 'memory': 'much' is not an amount of memory" in done.err


def test_a_class_in_memory_takes_no_limits(tmp_path: Path) -> None:
    class Ones:
        """Ones."""

        unit, direction = "things", "lower"

        def __init__(self, config: harness.NoSettings) -> None:
            pass

        def measure(self, model: object, data: harness.Data, context: harness.Context) -> harness.Estimate:
            return harness.Estimate(1.0, 0.0, 1)

    with pytest.raises(harness.UsageError, match=r"timeout=60\.0: limits are for other processes"):
        harness.plan("pca", "ones", plugins=[Ones], runs=tmp_path, timeout="1m")


def test_hangs_are_looked_for_by_default_only_where_progress_is_reported() -> None:
    assert (Limits().patience(trains=True), Limits().patience(trains=False)) == (600, float("inf"))
    assert (Limits(hang_after=5).patience(trains=True), Limits(hang_after=5).patience(trains=False)) == (5, 5)
    assert [Limits().isolates, Limits(memory=1).isolates, Limits(isolate=True).isolates] == [False, True, True]


@pytest.mark.parametrize(("number", "text"), [(0, "0 bytes"), (1536, "1.5 KiB"), (2**31, "2 GiB")])
def test_bytes_are_written_with_their_unit(number: int, text: str) -> None:
    assert in_bytes(number) == text
