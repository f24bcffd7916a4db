"""Calibration of estimators of log p(x) on models with an exact log p(x)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from harness import Data, Estimate
from harness.calibration.calibrate import calibrate, coverage, fitted
from harness.calibration.selection import effort_levels, exact_models, selected
from harness.cli.calibrate import showing_progress
from harness.noise import derive_seed
from harness.planning.component import resolve_component
from harness.registry import Registry

if TYPE_CHECKING:
    from tests.conftest import Call

few = ("calibrate", "--models", "ppca", "--examples", "10", "--latent-sizes", "2,10")
quick = ("--set", "log-likelihood-ais.temperatures=50", "--set", "log-likelihood-ais.chains=8")
bound = ("--metric", "log-likelihood-iw", "--set", "log-likelihood-iw.k=50")


def test_estimators_are_lower_bounds_that_are_tighter_with_more_effort(call: Call, tmp_path: Path) -> None:
    subjects = (*bound, "--metric", "log-likelihood-ais")
    done = call(*few, *quick, *subjects, "--replications", "3", "--format", "json", "--out", "here")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert len(rows) == 12
    for name, effort, full in (("log-likelihood-iw", "k", 50), ("log-likelihood-ais", "temperatures", 50)):
        for latent in (2, 10):
            mine = [row for row in rows if (row["estimator"], row["latent_dim"]) == (name, latent)]
            assert [(row["effort"], row["value"]) for row in mine] == [(effort, n) for n in (2, full // 5, full)]
            assert mine[0]["bias"] < mine[-1]["bias"]
            assert mine[-1]["bias"] < 4 * mine[-1]["bias_stderr"] + 0.02
            assert all(row["examples"] == 10 and row["replications"] == 3 for row in mine)
    starts = {row["estimator"]: row["proposal"] for row in rows}
    assert starts["log-likelihood-ais"] == "prior"
    assert starts["log-likelihood-iw"] == "posterior shifted by 0.5 sd and widened 1.2 times"
    assert all(0 <= row["coverage"] <= 1 for row in rows if row["estimator"] == "log-likelihood-ais")
    Image.open(tmp_path / "here" / "bias.png").verify()


def test_the_table_shows_the_bias_with_its_error_and_the_path_of_the_plot(call: Call) -> None:
    done = call("calibrate", "--examples", "10", "--latent-sizes", "2", *bound, "--replications", "2")
    assert done.code == 0, done.err
    assert all(each in done.out for each in ("ppca", "factor-analysis", "0.5 sd"))
    assert "left out log-likelihood-iw of gaussian-mixture" in done.err
    assert "log-likelihood-iw over k" in done.out
    assert "±" in done.out
    assert "12 measurements of 10 images" in done.err
    assert "wrote calibration/bias.png" in done.err
    shown = [line.split(",")[0] for line in done.err.splitlines() if line.startswith("measuring: ")]
    assert shown[:2] == ["measuring: 2 of 12", "measuring: 3 of 12"]
    assert shown[-1] == "measuring: 12 of 12"
    assert len(shown) == 10


def test_a_pipe_is_never_silent_for_long(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = iter([0.0, 20.0, 40.0, 50.0, 71.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    with showing_progress("measuring", 1000) as advance:
        for _ in range(4):
            advance(1)
    assert capsys.readouterr().err.splitlines() == [
        "measuring: 2 of 1,000, about 5.5 hours left",
        "measuring: 4 of 1,000, about 4.9 hours left",
    ]


def test_invalid_arguments_are_refused_before_any_work(refused: Callable[..., str]) -> None:
    assert "Did you mean 'log-likelihood-iw'?" in refused("calibrate", "--metric", "log-likelihood-iv")
    assert "realnvp has no exact log p(x): it has no" in refused("calibrate", "--model", "realnvp")
    assert "whole numbers above 0" in refused("calibrate", "--latent-sizes", "2,x")
    assert "use --examples" in refused("calibrate", "--set", "log-likelihood-iw.examples=5")
    assert "give one value" in refused("calibrate", "--set", "log-likelihood-iw.k=5,6")
    assert "not a metric of this calibration" in refused("calibrate", "--set", "elbo.samples=5")


plugin = """
import dataclasses, torch, harness

class Standard(torch.nn.Module):
    calibrated_with = []
    def __init__(self, info, config):
        super().__init__()
        self.config = config
    def fit(self, train, noise):
        pass
    def calibrate(self, validation, noise):
        self.calibrated_with.append(noise.generator.initial_seed())
    def log_prob(self, x):
        return torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)

class Seeds:
    @dataclasses.dataclass(frozen=True)
    class Config:
        k: int = 50
        examples: int = 100
    measured_with = []
    unit, direction, needs, effort = "nats", "higher", (harness.HasDensity,), "k"
    def __init__(self, config):
        self.config = config
    def measure(self, model, data, context):
        self.measured_with.append(context.noise.generator.initial_seed())
        return harness.Estimate(0.0, None, 1)

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("standard", Standard, "N(0, I)")]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("seeds", Seeds, "records the seeds of its evaluations")]
"""


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """Return a registry with an exact model and an estimator that record the seeds of their noise."""
    (tmp_path / "mine.py").write_text(plugin)
    return Registry.load((tmp_path / "mine.py",))


def test_an_exact_model_without_settings_is_calibrated_once(registry: Registry) -> None:
    (chosen,) = exact_models(registry, ["standard"], [2, 10])
    assert chosen.name == "standard"


def test_estimators_and_models_are_calibrated_with_different_noise(registry: Registry, small_data: Data) -> None:
    (model,), (estimator,) = exact_models(registry, ["standard"], []), selected(registry, ["seeds"]).estimators
    level = effort_levels(estimator, {}, examples=2)[0]
    dataset = resolve_component(registry.get("dataset", "mnist-10k"), {})
    calls: list[int] = []
    calibrate(level, model, fitted(model, dataset, small_data), small_data, 3, lambda: calls.append(1))
    assert len(calls) == 3
    assert model.factory.calibrated_with == [derive_seed("calibration", 0)]
    assert len(set(level.factory.measured_with)) == 3
    assert derive_seed("calibration", 0) not in level.factory.measured_with


def test_effort_is_divided_by_25_and_by_5(registry: Registry) -> None:
    (estimator,) = selected(registry, ["seeds"]).estimators
    assert [each.settings["k"] for each in effort_levels(estimator, {}, examples=7)] == [2, 10, 50]
    assert [each.settings["k"] for each in effort_levels(estimator, {"k": 1}, examples=7)] == [1]


def test_coverage_is_the_share_of_intervals_that_contain_the_mean_and_ignores_bias() -> None:
    values = [9.0, 10.0, 11.0, 14.0]  # with a mean of 11
    for bias in (0.0, 100.0):
        found = [Estimate(each + bias, None, 1, estimator_stderr=1.0) for each in values]
        assert coverage(found) == 0.5  # the interval is ± 1.70: 1.96 √(1 − 1/4)
    assert coverage(found[:1]) is None
    assert coverage([*found, Estimate(1.0, None, 1)]) is None
