"""Warnings that the harness adds to any metric, and captions of bounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

plugin = """
import torch

import harness


class Skewed:
    unit, direction, bound = "nats", "higher", "lower"

    def __init__(self, config):
        pass

    def measure(self, model, data, context):
        values = torch.linspace(-1, 1, len(data.test)).double()
        values[3] = LARGEST
        return harness.Estimate.over_examples(values, warning="its own warning")


@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("skewed", Skewed, "one example dominates")]
"""


@pytest.fixture
def row(call, tmp_path: Path) -> Callable[[str], dict]:
    """Return a function that runs the metric with one example of that value, and returns its row."""

    def row(largest: str) -> dict:
        file = tmp_path / "skewed.py"
        file.write_text(plugin.replace("LARGEST", largest))
        chosen = ("--models", "pca", "--dataset", "ppca-toy", "--seeds", "1", "--set", "pca.latent_dim=2")
        done = call("run", "--plugin", str(file), *chosen, "--metric", "skewed", "--no-figures", "--fresh")
        assert done.code == 0
        assert "The values are lower bounds; errors leave out how loose they are." in done.out
        (found,) = json.loads(call("leaderboard", "--metric", "skewed", "--format", "json").out)
        return found

    return row


def test_an_example_with_over_a_fifth_of_the_variance_is_marked_and_the_median_is_shown(row) -> None:
    """The squares of the others are a third on average: of 2,000 of them, 100² / (100² + 667) is 94%."""
    found = row("-100.0")
    assert found["reason"] == "its own warning; one example has 94% of the variance: see the median"
    assert found["parts"]["median"] == pytest.approx(0, abs=0.01)
    assert found["value"] == pytest.approx(-100 / 2000, rel=0.05)


def test_ordinary_examples_are_not_marked(row) -> None:
    found = row("-5.0")
    assert found["reason"] == "its own warning"
    assert "median" not in found["parts"]
