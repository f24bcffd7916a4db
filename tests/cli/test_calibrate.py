"""Estimators of log p(x) are held against exact answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from harness.calibration.calibrate import exact_models
from harness.registry import Registry

if TYPE_CHECKING:
    from tests.conftest import Call

few = ("calibrate", "--models", "ppca", "--examples", "10", "--latent-sizes", "2,10")
quick = ("--set", "log-likelihood-ais.temperatures=50", "--set", "log-likelihood-ais.chains=8")
bound = ("--metric", "log-likelihood-iw", "--set", "log-likelihood-iw.k=50")


def test_estimators_are_lower_bounds_that_tighten_with_effort(call: Call, tmp_path: Path) -> None:
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


def test_the_board_shows_the_bias_with_its_error_and_where_the_figure_is(call: Call) -> None:
    done = call("calibrate", "--examples", "10", "--latent-sizes", "2", *bound, "--replications", "2")
    assert done.code == 0, done.err
    assert all(each in done.out for each in ("ppca", "factor-analysis", "0.5 sd"))
    assert "left out log-likelihood-iw of gaussian-mixture" in done.err
    assert "log-likelihood-iw over k" in done.out
    assert "±" in done.out
    assert "12 measurements of 10 images" in done.err
    assert "wrote calibration/bias.png" in done.err


def test_words_that_make_no_sense_are_refused_before_any_work(refused: Callable[..., str]) -> None:
    assert "Did you mean 'log-likelihood-iw'?" in refused("calibrate", "--metric", "log-likelihood-iv")
    assert "no exact answers: it has no closed-form fit" in refused("calibrate", "--model", "realnvp")
    assert "whole numbers above 0" in refused("calibrate", "--latent-sizes", "2,x")
    assert "--examples" in refused("calibrate", "--set", "log-likelihood-iw.examples=5")
    assert "not an estimator" in refused("calibrate", "--set", "elbo.samples=5")


def test_a_model_of_exact_answers_without_settings_is_calibrated_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("""
import torch, harness

class Standard(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
    def fit(self, train, noise):
        pass
    def log_prob(self, x):
        return torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(1).sum(1)

@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("standard", Standard, "N(0, I)")]
""")
    (chosen,) = exact_models(Registry.load((tmp_path / "mine.py",)), ["standard"], [2, 10])
    assert chosen.name == "standard"
