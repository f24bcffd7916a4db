"""Before a first run, a few steps of each model tell how long training takes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from small_models import mean_model, tiny_data_set
from timed_runs import here, stored_fit, timed_run

from harness.execution.durations import Durations, Forecast
from harness.execution.first_steps import time_first_steps
from harness.execution.run import Run
from harness.planning.budget import Budget
from harness.training.trainer import Trainer

if TYPE_CHECKING:
    from tests.conftest import Call

unknown = "how long it takes is not known: nothing like it was timed here before"


def learned(run: Run) -> Durations:
    """Return what a run learns from the store and from the first steps."""
    durations = Durations.of(run.store, here.machine)
    time_first_steps(run, durations, run.context)
    return durations


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let each step take at least 20 ms, and return a list that gets every step."""
    taken: list[Any] = []
    step = Trainer.step

    def slow(self: Trainer, *words: Any) -> Any:
        taken.append(self)
        time.sleep(0.02)
        return step(self, *words)

    monkeypatch.setattr(Trainer, "step", slow)
    return taken


def test_a_fit_takes_as_long_as_its_steps(tmp_path: Path, steps: list[Any]) -> None:
    state = torch.get_rng_state()
    run = timed_run(tmp_path, models=("vae", "gan"), metrics=("frechet-distance",), seeds=2, budget=Budget(steps=1000))
    found = learned(run)
    assert len({id(each) for each in steps}) == 2  # one fit of each model
    assert len(steps) <= 2 * 26
    assert all((found.of_fit(fit) or 0) >= 20 for fit in run.plan.fits)
    half = timed_run(tmp_path, models=("vae",), budget=Budget(steps=500))
    assert found.of_fit(half.plan.fits[0]) == pytest.approx((found.of_fit(run.plan.fits[0]) or 0) / 2)
    assert Forecast.of(run, found, 1).seconds == pytest.approx(sum(found.of_fit(fit) or 0 for fit in run.plan.fits))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("unlike", [{"budget": Budget(steps=100)}, {"path": "vectorized", "seeds": 2}])
def test_fits_that_are_short_or_not_trained_step_by_step_are_not_timed(
    tmp_path: Path, steps: list[Any], unlike: dict[str, Any]
) -> None:
    run = timed_run(tmp_path, **{"budget": Budget(epochs=20), **unlike})
    assert learned(run).of_fit(run.plan.fits[0]) is None
    assert steps == []


def test_what_was_timed_before_is_not_timed_again(tmp_path: Path, steps: list[Any]) -> None:
    stored_fit(timed_run(tmp_path, budget=Budget(epochs=2)), seconds=10.0, steps=158)
    run = timed_run(tmp_path, budget=Budget(epochs=20))
    assert learned(run).of_fit(run.plan.fits[0]) == pytest.approx(100)
    assert steps == []


def test_a_model_that_fails_costs_only_its_estimate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Trainer, *words: Any) -> Any:
        raise SystemExit

    monkeypatch.setattr(Trainer, "step", fails)
    run = timed_run(tmp_path, budget=Budget(epochs=20))
    assert Forecast.of(run, learned(run), 1).in_words == unknown


def test_a_dry_run_says_how_long_training_takes_and_leaves_nothing(call: Call, tmp_path: Path) -> None:
    done = call("run", "--models", "vae,pca", "--metric", "reconstruction-mse", "--seeds", "2", "--dry-run")
    line = " ".join(done.out.split("\n\n")[-1].split())
    assert line.startswith("training takes ")
    assert line.endswith(f" for 2 of 4 fits; how long measuring takes is not known: {unknown.split(': ')[1]}")
    assert not [each for each in tmp_path.iterdir() if each.name in ("runs", "leaderboards")]


def test_a_dry_run_neither_downloads_nor_runs_code_of_others(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    run = ("run", "--metric", "reconstruction-mse", "--epochs", "20", "--dry-run")
    away = call(*run, "--models", "vae", "--dataset", "kmnist")
    assert (away.out.splitlines()[-1], away.err) == (unknown, "")
    tells = mean_model.replace("        return (x + ", "        open('ran', 'w')\n        return (x + ")
    provided = '    return [harness.{}Spec("{}", {}, "small")]\n'
    (tmp_path / "mine.py").write_text(
        tiny_data_set + tells + "\n@harness.hookimpl\ndef harness_datasets():\n"
        + provided.format("Dataset", "tiny", "Tiny") + "\n@harness.hookimpl\ndef harness_models():\n"
        + provided.format("Model", "mean", "Mean")
    )  # fmt: skip
    foreign = call(*run, "--models", "mean", "--dataset", "tiny", "--batch-size", "2", "--plugin", "mine.py")
    assert (foreign.code, foreign.out.splitlines()[-1]) == (0, unknown)
    assert not (tmp_path / "ran").exists()
