"""Each wrong plugin is caught by the check that is meant for it, and sound ones pass all checks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import wrong_data_and_figures
import wrong_metrics
import wrong_models

from harness import DatasetSpec, FigureSpec, MetricSpec, ModelSpec
from harness.conformance import all_checks
from harness.conformance.suite import Target, results_of, target_of
from harness.data.source import DataSource
from harness.noise import global_seed
from harness.registry import Plugin, Provided, Registry

specs = {"model": ModelSpec, "metric": MetricSpec, "dataset": DatasetSpec, "figure": FigureSpec}
modules = (wrong_models, wrong_metrics, wrong_data_and_figures)
wrong = [each for module in modules for each in module.wrong]
sound = [each for module in modules for each in module.sound]
registry = Registry.load()


def kind_of(plugin: type) -> str:
    if hasattr(plugin, "state_dict"):
        return "model"
    return next(
        kind
        for kind, method in {"dataset": "load", "figure": "draw", "metric": "measure"}.items()
        if hasattr(plugin, method)
    )


def target(plugin: Any, folder: Path) -> Target:
    kind = kind_of(plugin)
    provided = Provided(specs[kind]("a-plugin", plugin, "for a test"), Plugin("tests", "tests", "1"))
    return target_of(provided, registry, DataSource(None, folder, print))


@pytest.mark.parametrize("plugin", wrong, ids=lambda each: f"{kind_of(each)}-{each.__name__}")
def test_a_wrong_plugin_is_caught_by_the_check_meant_for_it(plugin: Any, tmp_path: Path) -> None:
    checked = target(plugin, tmp_path)
    (meant,) = (each for each in checked.checks if each.id == plugin.caught_by)
    result = checked.run(meant)
    assert result.status == "failed", result
    assert result.message.startswith(f"{meant.rule} Seen: ")
    assert result.message.endswith(f" Remedy: {meant.mend}")


def test_a_seed_that_the_process_has_already_is_noticed(tmp_path: Path) -> None:
    with global_seed(3):
        test_a_wrong_plugin_is_caught_by_the_check_meant_for_it(wrong_metrics.SeedsTorch, tmp_path)


@pytest.mark.parametrize("plugin", sound, ids=lambda each: each.__name__)
def test_a_sound_plugin_passes_every_check(plugin: Any, tmp_path: Path) -> None:
    results = list(results_of(target(plugin, tmp_path)))
    assert [each for each in results if each.status not in ("passed", "skipped")] == []
    assert sum(each.status == "passed" for each in results) >= 13


def test_an_exception_is_reported_once_with_its_line(tmp_path: Path) -> None:
    results = list(results_of(target(wrong_models.RaisesWhenItSamples, tmp_path)))
    (failed,) = (each for each in results if each.status == "failed")
    assert "sample raised RuntimeError: there is no decoder (in sample, line " in failed.message
    assert " of wrong_models.py). Remedy: " in failed.message
    same = [each for each in results if each.message.startswith(f"it raised what {failed.check} reports: ")]
    assert len(same) >= 10
    assert {each.status for each in same} == {"skipped"}


def test_warnings_are_no_output(tmp_path: Path) -> None:
    checked = target(wrong_models.Warns, tmp_path)
    (check,) = (each for each in checked.checks if each.id == "model-prints-nothing")
    assert checked.run(check).status == "passed"


def test_each_check_catches_some_wrong_plugin() -> None:
    caught = {each.caught_by for each in wrong}
    assert [each.id for each in all_checks() if each.id not in caught] == []
    assert len(wrong) >= 40
