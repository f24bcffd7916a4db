"""Plugins that do not keep their contract are refused with a message that says what is wrong and how to mend it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
from torch import nn

from harness import HasPosterior, Samples
from harness.contracts.checks import (
    problem_of_board_figure,
    problem_of_command,
    problem_of_dataset,
    problem_of_figure,
    problem_of_metric,
    problem_of_model,
    problem_of_renderer,
)
from harness.planning.component import Component, config_type_of, resolve_component
from harness.registry import Registry
from harness.settings import missing

if TYPE_CHECKING:
    from tests.conftest import Call


class GoodMetric:
    unit, direction, needs, times_the_machine = "nats", "higher", (HasPosterior | Samples,), True

    def measure(self, model: Any, data: Any, context: Any) -> None:
        pass


def metric(**attributes: Any) -> Any:
    return type("Metric", (GoodMetric,), attributes)()


def test_a_metric_that_keeps_the_contract_has_no_problem() -> None:
    assert problem_of_metric(metric(), {}) is None
    assert problem_of_metric(metric(needs=(), direction=None), {}) is None
    assert problem_of_metric(metric(effort="k"), {"k": 5, "examples": 100}) is None
    assert problem_of_metric(metric(compare=lambda self, samples, test, train: 0.0, aspect="fidelity"), {}) is None
    assert problem_of_metric(metric(aspect=None, limits="Cannot see blur."), {}) is None


@pytest.mark.parametrize("name", ["unit", "direction", "measure"])
def test_a_metric_without_a_required_attribute_is_refused(name: str) -> None:
    attributes = {key: value for key, value in vars(GoodMetric).items() if key[0] != "_" and key != name}
    problem = problem_of_metric(type("Metric", (), attributes)(), {})
    assert problem is not None
    assert f"it has no '{name}'; " in problem


@pytest.mark.parametrize(
    ("attributes", "wrong", "mend"),
    [
        ({"unit": 3}, "its 'unit' is 3", 'unit = "nats"'),
        ({"direction": "up"}, "its 'direction' is 'up'", 'set it to "higher", "lower" or None'),
        ({"times_the_machine": "yes"}, "its 'times_the_machine' is 'yes'", "True or False"),
        ({"depends_on_seed": "no"}, "its 'depends_on_seed' is 'no'", "True or False"),
        ({"bound": "below"}, "its 'bound' is 'below'", '"lower", "upper" or None'),
        ({"needs": Samples}, "its 'needs' is Samples", "use a tuple, such as needs = (harness.Samples,)"),
        ({"needs": HasPosterior | Samples}, "its 'needs' is ", "use a tuple"),
        ({"needs": "Samples"}, "its 'needs' is 'Samples'", "use a tuple"),
        ({"needs": (nn.Module,)}, "is not a capability", "such as harness.HasPosterior"),
        ({"needs": (HasPosterior | nn.Module,)}, "is not a capability", "such as harness.HasPosterior"),
        ({"effort": "n"}, "no integer setting 'n'", "'effort' names the setting that buys accuracy"),
        ({"effort": "rate"}, "no integer setting 'rate'", "'effort' names the setting"),
        ({"effort": 5}, "its 'effort' is 5", "'effort' names the setting"),
        ({"aspect": "quality"}, "its 'aspect' is 'quality'", "set it to 'fidelity', 'diversity', 'overall'"),
        ({"limits": 5}, "its 'limits' are 5", "write a sentence"),
        ({"compare": lambda self, samples: 0.0}, "its 'compare' takes (samples)", "(samples, test, train)"),
        ({"measure": lambda self, model, data: None}, "its 'measure' takes (model, data)", "(model, data, context)"),
        ({"measure": 5}, "it has no 'measure'", "add measure(model, data, context)"),
    ],
)
def test_a_metric_with_a_wrong_attribute_is_refused(attributes: dict[str, Any], wrong: str, mend: str) -> None:
    problem = problem_of_metric(metric(**attributes), {"k": 5, "examples": 100, "rate": 0.5})
    assert problem is not None
    assert wrong in problem
    assert mend in problem


def test_an_estimator_needs_a_number_of_examples() -> None:
    problem = problem_of_metric(metric(effort="k"), {"k": 5})
    assert problem is not None
    assert "no integer setting 'examples'" in problem


def test_needs_that_are_set_on_the_object_are_refused_because_the_plan_reads_the_class() -> None:
    found = metric()
    found.needs = (Samples,)
    assert "its 'needs' is set on the object; set it on the class" in str(problem_of_metric(found, {}))


class GoodModel(nn.Module):
    def __init__(self, info: Any, config: Any) -> None:
        super().__init__()

    def loss(self, x: Any, noise: Any) -> None:
        pass


class Takes:
    """Takes settings."""

    def __init__(self, config: Any) -> None:
        pass


def test_a_model_must_be_trainable_and_take_what_it_is_given() -> None:
    assert problem_of_model(GoodModel) is None
    assert "it cannot be trained; add loss(x, noise)" in str(problem_of_model(nn.Module))
    assert "name a class derived from torch.nn.Module" in str(problem_of_model(None))
    assert "name a class derived from torch.nn.Module" in str(problem_of_model(Takes))
    wrong_loss = type("Model", (GoodModel,), {"loss": lambda self, x: None})
    assert "its 'loss' takes (x); it is called with (x, noise)" in str(problem_of_model(wrong_loss))
    wrong_constructor = type("Model", (GoodModel,), {"__init__": lambda self, info: None})
    assert "its constructor takes (info)" in str(problem_of_model(wrong_constructor))


def test_a_data_set_must_load() -> None:
    class Loads(Takes):
        def load(self, source: Any) -> None:
            pass

    class LoadsStatically(Takes):
        @staticmethod
        def load(source: Any) -> None:
            pass

    class TakesNothing(Takes):
        def load(self) -> None:
            pass

    class BuiltWithoutConfig:
        def load(self, source: Any) -> None:
            pass

    assert "its constructor takes ()" in str(problem_of_dataset(BuiltWithoutConfig))
    assert problem_of_dataset(Loads) is None
    assert problem_of_dataset(LoadsStatically) is None
    assert "it has no 'load'; add load(source)" in str(problem_of_dataset(object))
    assert "its 'load' takes (); it is called with (source)" in str(problem_of_dataset(TakesNothing))


def test_a_figure_must_draw() -> None:
    class Draws:
        def draw(self, model: Any, data: Any, context: Any) -> None:
            pass

    assert problem_of_figure(Draws()) is None
    assert "it has no 'draw'; add draw(model, data, context)" in str(problem_of_figure(object()))
    wrong_needs = type("Figure", (Draws,), {"needs": Samples})()
    assert "its 'needs' is Samples; use a tuple" in str(problem_of_figure(wrong_needs))


def test_a_renderer_takes_boards() -> None:
    assert problem_of_renderer(lambda boards: "") is None
    assert "it takes (); it is called with (boards)" in str(problem_of_renderer(lambda: ""))
    assert "name a function from a list of boards to text" in str(problem_of_renderer("text"))


def test_a_command_is_a_click_command() -> None:
    assert problem_of_command(click.Command("mine")) is None
    assert "name a click.Command" in str(problem_of_command(print))


wrong_metric = """
import harness

class Wrong:
    unit, direction, needs = "nats", "higher", harness.Samples
    def __init__(self, config):
        pass
    def measure(self, model, data, context):
        return harness.Estimate(0.0, None, 1)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("wrong", Wrong, "does not keep its contract")]
"""


def test_a_run_with_a_wrong_metric_is_refused_before_any_training(call: Call, tmp_path: Path) -> None:
    (tmp_path / "wrong_metric.py").write_text(wrong_metric)
    done = call("run", "--plugin", "wrong_metric.py", "--models", "pca", "--metric", "reconstruction-mse,wrong")
    message = " ".join(done.err.split())
    assert done.code == 2
    assert "metric 'wrong' of plugin 'wrong_metric" in message
    assert "its 'needs' is Samples; use a tuple" in message
    assert not (tmp_path / "runs").exists()


checks: dict[str, Callable[[Component], str | None]] = {
    "model": lambda component: problem_of_model(component.factory),
    "dataset": lambda component: problem_of_dataset(component.factory),
    "metric": lambda component: problem_of_metric(component.factory(component.config), component.settings),
}


@pytest.mark.parametrize("kind", checks)
def test_every_component_of_the_harness_keeps_its_contract(kind: str) -> None:
    for provided in Registry.load().all(kind):
        required = missing(config_type_of(provided), ())
        component = resolve_component(provided, {each.name: each.default for each in required})
        assert checks[kind](component) is None, provided.spec.name


def test_every_figure_renderer_and_command_of_the_harness_keeps_its_contract() -> None:
    registry = Registry.load()
    checked = {
        "board-figure": problem_of_board_figure,
        "renderer": problem_of_renderer,
        "command": problem_of_command,
    }
    for kind, check in checked.items():
        for provided in registry.all(kind):
            assert check(provided.spec.resolve()) is None, provided.spec.name
    for provided in registry.all("figure"):
        assert problem_of_figure(provided.spec.resolve()()) is None, provided.spec.name


figures = """
import harness

class Wrong:
    needs = (harness.Samples,)
    def draw(self, model):
        return None

@harness.hookimpl
def harness_figures():
    return [harness.FigureSpec("wrong", Wrong, "a figure")]
"""


def test_a_figure_of_a_plugin_file_is_checked_before_any_training(call: Call, tmp_path: Path) -> None:
    (tmp_path / "figures.py").write_text(figures)
    words = ("run", "--plugin", "figures.py", "--models", "pca", "--metric", "reconstruction-mse")
    done = call(*words)
    assert done.code == 2
    assert "figure 'wrong' of plugin 'figures' (figures.py) does not keep its contract: its 'draw' takes" in done.err
    assert not (tmp_path / "runs").exists()


functions = """
import harness

class Error:
    unit, direction, needs = "nats", "lower", (harness.HasPosterior,)
    def __init__(self, config): pass
    def measure(self, model, data, context):
        return harness.Estimate(1.0, None, 1)

def error(config):
    return Error(config)

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec("error", error, "built by a function, which has no needs")]
"""


def test_a_function_in_place_of_a_class_is_refused_since_its_needs_cannot_be_read(call: Call, tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text(functions)
    done = call("run", "--plugin", "functions.py", "--models", "linear-ae", "--metric", "error")
    assert done.code == 2
    assert "name a class" in done.err


def test_show_refuses_a_metric_that_does_not_keep_its_contract(call: Call, tmp_path: Path) -> None:
    without_unit = functions.replace('unit, direction, needs = "nats", ', "direction, needs = ")
    (tmp_path / "functions.py").write_text(without_unit.replace('"error", error', '"error", Error'))
    done = call("show", "error", "--plugin", "functions.py")
    assert done.code == 2
    assert "it has no 'unit'" in done.err
