"""Training time until a validation metric reaches a target."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

chosen = (
    *("--models", "linear-ae", "--metric", "time-to-quality", "--epochs", "6", "--batch-size", "500"),
    *("--dataset", "ppca-toy", "--timing-rounds", "2"),
)


def last_record(folder: Path) -> dict:
    return json.loads((folder / "runs" / "records.jsonl").read_text().splitlines()[-1])


def test_the_time_is_the_end_of_the_first_epoch_that_reaches_the_target(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "reconstruction-mse=0.19").code == 0
    record = last_record(tmp_path)
    *before, (seconds, value) = record["diagnostics"]["curve"]
    assert record["samples"][0] == seconds > 0
    assert record["value"] == sum(record["samples"]) / 2
    assert value <= 0.19 < min(each for _, each in before)
    assert record["parts"]["training (epochs)"] == len(before) + 1
    assert [each for each, _ in before] == sorted(each for each, _ in before)


def test_a_target_that_is_not_reached_is_reported_with_the_best_value(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "reconstruction-mse=0.001").code == 4
    record = last_record(tmp_path)
    assert record["status"] == "n/a"
    assert record["reason"].startswith("not reached in 6 epochs (")
    assert "the best was 0.18" in record["reason"]


fading = """
import harness

class Fading:
    unit, direction, needs, seen = "nats", "higher", (), []
    def __init__(self, config): pass
    def measure(self, model, data, context):
        assert context.checkpoint is None  # epochs must not share a checkpoint
        self.seen.append(model)
        return harness.Estimate([-200.0, -150.0, float("nan")][len(self.seen) - 1], None, 1)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("fading", Fading, "becomes NaN")]
"""


def test_nan_does_not_reach_a_target(call: Call, tmp_path: Path) -> None:
    (tmp_path / "fading.py").write_text(fading)
    words = ("--plugin", "fading.py", *chosen[:5], "3", *chosen[6:])
    assert call("run", *words, "--target", "fading=-100").code == 4
    record = last_record(tmp_path)
    assert record["status"] == "n/a"
    assert record["reason"].endswith("the best was -150")


def test_a_metric_that_does_not_apply_cannot_be_a_target(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "elbo=-100").code == 4
    assert last_record(tmp_path)["reason"] == "elbo does not apply: it has no posterior and no observation model"


def test_a_metric_without_a_better_direction_cannot_be_a_target(call: Call, tmp_path: Path) -> None:
    assert call("run", *chosen, "--target", "sparsity=0.5").code == 4
    assert last_record(tmp_path)["reason"] == "sparsity has no better direction, so it cannot be a target"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("elbo", "not of the form METRIC=VALUE"),
        ("elbo=nan", "not of the form METRIC=VALUE"),
        ("elbo=inf", "not of the form METRIC=VALUE"),
        ("elbow=3", "Did you mean 'elbo'?"),
    ],
)
def test_an_invalid_target_is_refused(target: str, message: str, refused: Callable[..., str]) -> None:
    assert message in refused("run", *chosen, "--target", target)


def test_a_target_without_a_metric_is_refused(refused: Callable[..., str]) -> None:
    assert "not of the form METRIC=VALUE" in refused("run", *chosen, "--set", "time-to-quality.target==5")


def test_a_missing_target_is_refused_with_an_example(refused: Callable[..., str]) -> None:
    message = refused("run", *chosen)
    assert "time-to-quality.target has no default: give it a value" in message
    assert "elbo=-100" in message
