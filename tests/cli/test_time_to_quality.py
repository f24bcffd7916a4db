"""Training until a validation metric is good enough."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

chosen = ("--models", "linear-ae", "--metric", "time-to-quality", "--epochs", "6", "--batch-size", "500")


def last_record(folder: Path) -> dict:
    return json.loads((folder / "runs" / "records.jsonl").read_text().splitlines()[-1])


def test_it_is_the_end_of_the_first_epoch_that_passes(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "reconstruction-mse=0.07").code == 0
    record = last_record(tmp_path)
    *before, (seconds, value) = record["diagnostics"]["curve"]
    assert record["value"] == seconds > 0
    assert value <= 0.07 < min(each for _, each in before)
    assert record["parts"]["training (epochs)"] == len(before) + 1
    assert [each for each, _ in before] == sorted(each for each, _ in before)


def test_a_target_that_is_not_reached_says_how_near_it_came(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "reconstruction-mse=0.001").code == 4
    record = last_record(tmp_path)
    assert record["status"] == "n/a"
    assert record["reason"].startswith("not reached in 6 epochs (")
    assert "the nearest was 0.0" in record["reason"]


fading = """
import harness

class Fading:
    unit, direction, needs, seen = "nats", "higher", (), []
    def __init__(self, config): pass
    def measure(self, model, data, context):
        assert context.checkpoint is None  # an epoch's would be another's
        self.seen.append(model)
        return harness.Estimate([-200.0, -150.0, float("nan")][len(self.seen) - 1], None, 1)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("fading", Fading, "becomes no number")]
"""


def test_no_number_is_not_taken_for_a_target_reached(call: Call, tmp_path: Path) -> None:
    (tmp_path / "fading.py").write_text(fading)
    words = ("--plugin", "fading.py", *chosen[:5], "3", *chosen[6:])
    assert call("run", *words, "--target", "fading=-100").code == 4
    record = last_record(tmp_path)
    assert record["status"] == "n/a"
    assert record["reason"].endswith("the nearest was -150")


def test_a_metric_that_does_not_apply_is_no_target(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "elbo=-100").code == 4
    assert last_record(tmp_path)["reason"] == "elbo does not apply: it has no encoder and no observation model"


def test_a_metric_of_which_neither_end_is_better_is_no_target(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "sparsity=0.5").code == 4
    assert last_record(tmp_path)["reason"] == "neither end of sparsity is better, so that no value of it is reached"


@pytest.mark.parametrize(
    ("target", "said"), [("elbo", "not of the form METRIC=VALUE"), ("elbow=3", "Did you mean 'elbo'?")]
)
def test_a_target_that_cannot_be_read_is_refused(target: str, said: str, refused: Callable[..., str]) -> None:
    assert said in refused("run", *chosen, "--target", target)
