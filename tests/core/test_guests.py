"""Code of plugins that calls sys.exit costs its own cells, and notice hooks that fail are reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_models import tiny_data_set

if TYPE_CHECKING:
    from tests.conftest import Call

plugin = (
    tiny_data_set
    + """
import sys
from pathlib import Path

class Leaving(Tiny):
    def load(self, source):
        sys.exit(0)

class Sound(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))
    def reconstruct(self, x):
        return x * self.w
    def loss(self, x, noise):
        return (self.reconstruct(x) - x).square().mean()

class LeavesInLoss(Sound):
    def loss(self, x, noise):
        sys.exit(0)

class LeavesInInit(Sound):
    def __init__(self, info, config):
        sys.exit()

class LeavesInCalibrate(Sound):
    def calibrate(self, validation, noise):
        sys.exit("enough")

class Leaves:
    unit, direction = "things", None
    def __init__(self, config): pass
    def measure(self, model, data, context):
        sys.exit(0)

class Changed(Sound):
    def __init__(self, info, config):
        super().__init__(info, config)
        if Path("changed").exists():
            raise ValueError("built differently")

class NotData(Tiny):
    def load(self, source):
        return 3

class OfVersion01:
    unit, direction = "things", "lower"
    def __init__(self, config): pass
    def measure(self, model, data, context):
        return harness.Estimate(1.0, 0.1, 60, diagnostics={"marked": "do not trust", "flattering": True})

class Picture:
    def draw(self, model, data, context):
        sys.exit(0)

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec(each.__name__.lower(), each, "small") for each in (Tiny, Leaving, NotData)]

@harness.hookimpl
def harness_models():
    models = (Sound, LeavesInLoss, LeavesInInit, LeavesInCalibrate, Changed)
    return [harness.ModelSpec(each.__name__.lower(), each, "a model") for each in models]

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec(each.__name__.lower(), each, "a metric") for each in (Leaves, OfVersion01)]

@harness.hookimpl
def harness_figures():
    return [harness.FigureSpec("picture", Picture, "leaves")]

@harness.hookimpl
def harness_cell_finished(cell, record):
    raise RuntimeError(f"no room for {record.metric['name']}")
"""
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guests.py").write_text(plugin)
    return tmp_path


def words(models: str, metric: str = "reconstruction-mse", dataset: str = "tiny") -> list[str]:
    chosen = ["--models", models, "--metric", metric, "--dataset", dataset]
    return ["run", "--plugin", "guests.py", *chosen, "--steps", "2", "--jobs", "1"]


def outcomes(folder: Path) -> dict[tuple[str, str], tuple[str, str | None]]:
    lines = map(json.loads, (folder / "runs" / "records.jsonl").read_text().splitlines())
    return {(each["model"]["name"], each["metric"]["name"]): (each["status"], each["reason"]) for each in lines}


def test_sys_exit_in_a_model_or_a_metric_is_an_error_of_its_cells(call: Call, folder: Path) -> None:
    done = call(*words("leavesinloss,leavesininit,leavesincalibrate,sound", "leaves,reconstruction-mse"))
    assert done.code == 3
    found = outcomes(folder)
    assert found.pop(("sound", "reconstruction-mse")) == ("ok", None)
    assert found.pop(("sound", "leaves")) == ("error", "RuntimeError: sys.exit(0) was called")
    assert len(found) == 6
    assert {status for status, _ in found.values()} == {"error"}
    assert found["leavesininit", "leaves"][1] == "RuntimeError: sys.exit() was called"
    assert found["leavesincalibrate", "leaves"][1] == "RuntimeError: sys.exit('enough') was called"


def test_sys_exit_in_a_data_set_is_an_error_of_its_cells(call: Call, folder: Path) -> None:
    assert call(*words("pca", dataset="leaving")).code == 3
    assert outcomes(folder) == {("pca", "reconstruction-mse"): ("error", "RuntimeError: sys.exit(0) was called")}


def test_a_data_set_that_returns_something_else_is_an_error_of_its_cells(call: Call, folder: Path) -> None:
    assert call(*words("pca", dataset="notdata")).code == 3
    reason = "TypeError: load() of data set 'notdata' returned int; return harness.Data"
    assert outcomes(folder) == {("pca", "reconstruction-mse"): ("error", reason)}


def test_a_stored_model_that_cannot_be_built_again_is_an_error_of_its_cells(call: Call, folder: Path) -> None:
    assert call(*words("changed,sound")).code == 0
    (folder / "changed").touch()
    done = call(*words("changed,sound", "parameters"))
    assert done.code == 3
    found = outcomes(folder)
    status, reason = found["changed", "parameters"]
    assert status == "error"
    assert str(reason).startswith("ValueError: built differently (in __init__, line ")
    assert found["sound", "parameters"][0] == "ok"


def test_a_metric_of_version_0_1_keeps_its_warning_and_gets_no_rank(call: Call, folder: Path) -> None:
    done = call(*words("pca", "ofversion01"))
    assert done.code == 0
    assert "diagnostics['flattering'] is deprecated; use harness.Estimate.biased_in_favour" in done.err
    (row,) = json.loads(call("leaderboard", "--format", "json").out)
    assert (row["rank"], row["reason"]) == (None, "do not trust")


def test_sys_exit_in_a_figure_costs_only_the_figure(call: Call, folder: Path) -> None:
    done = call(*words("sound"))
    assert done.code == 0
    assert "warning: the figure picture of sound could not be drawn: RuntimeError: sys.exit(0) was called" in done.err


def test_a_notice_hook_that_fails_during_a_run_is_reported_once_per_failure(call: Call, folder: Path) -> None:
    done = call(*words("sound,pca", "reconstruction-mse,ssim"))
    message = "warning: plugin guests.py:guests: harness_cell_finished() failed: RuntimeError: no room for {}"
    assert done.err.count(message.format("reconstruction-mse")) == 1
    assert done.err.count(message.format("ssim")) == 1
