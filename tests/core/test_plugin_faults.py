"""One broken plugin never stops the others."""

import sys
from types import SimpleNamespace

import pytest

import harness
from harness import ModelSpec, hookimpl
from harness.errors import UsageError
from harness.registry import Plugin, Registry


def plugin_of(**hooks: object) -> SimpleNamespace:
    return SimpleNamespace(**hooks)


def added(registry: Registry, name: str, module: object) -> Plugin:
    plugin = Plugin(name, f"dist-{name}", "1.2")
    registry.add(plugin, lambda: module)
    return plugin


def models(*names: str):
    @hookimpl
    def harness_models() -> list[ModelSpec]:
        return [ModelSpec(name, "some.module:Model", "a model") for name in names]

    return harness_models


def test_a_taken_name_stays_with_the_first_and_the_rest_of_the_second_is_kept() -> None:
    registry = Registry()
    added(registry, "one", plugin_of(harness_models=models("a", "b")))
    second = added(registry, "two", plugin_of(harness_models=models("b", "c")))
    assert [(each.spec.name, each.plugin.name) for each in registry.all("model")] == [
        ("a", "one"),
        ("b", "one"),
        ("c", "two"),
    ]
    assert second.problems == ["model 'b' is already provided by plugin 'one' (dist-one); rename this one"]


def test_a_hook_that_raises_or_returns_something_else_is_a_problem() -> None:
    @hookimpl
    def harness_models():
        raise RuntimeError("not today")

    @hookimpl
    def harness_metrics():
        return [ModelSpec("a", "m:M", "not a metric"), "neither"]

    registry = Registry()
    plugin = added(registry, "bad", plugin_of(harness_models=harness_models, harness_metrics=harness_metrics))
    good = added(registry, "good", plugin_of(harness_models=models("a")))
    assert plugin.problems[0] == "harness_models() failed: RuntimeError: not today"
    assert [problem.startswith("harness_metrics() returned") for problem in plugin.problems] == [False, True, True]
    assert good.problems == []
    assert registry.get("model", "a").plugin is good


def test_a_hook_that_is_not_marked_or_takes_wrong_arguments_is_a_problem() -> None:
    def harness_models():
        return []

    @hookimpl
    def harness_metrics(session):
        return []

    registry = Registry()
    assert (
        "mark it with @harness.hookimpl"
        in added(registry, "unmarked", plugin_of(harness_models=harness_models)).problems[0]
    )
    assert "session" in added(registry, "wrong", plugin_of(harness_metrics=harness_metrics)).problems[0]


@pytest.mark.parametrize("failure", [SyntaxError("bad"), ImportError("gone"), RecursionError()])
def test_whatever_an_import_raises_is_a_problem_of_the_plugin(failure: BaseException) -> None:
    def load() -> object:
        raise failure

    registry = Registry()
    plugin = Plugin("broken", "dist", "1")
    registry.add(plugin, load)
    assert plugin.problems[0].startswith("failed to import: " + type(failure).__name__)
    assert registry.broken == [plugin]


def test_a_plugin_cannot_end_the_process() -> None:
    @hookimpl
    def harness_models():
        sys.exit(1)

    @hookimpl
    def harness_metrics():
        yield ModelSpec("a", "m:M", "")
        sys.exit(0)

    @hookimpl
    def harness_cell_started(cell):
        sys.exit("stop")

    registry, warnings = Registry(), []
    importing = Plugin("importing", "dist", "1")
    registry.add(importing, lambda: sys.exit(1))
    hooks = {"harness_models": harness_models, "harness_metrics": harness_metrics}
    plugin = added(registry, "exits", plugin_of(**hooks, harness_cell_started=harness_cell_started))
    registry.notify("harness_cell_started", warnings.append, cell="the cell")
    assert importing.problems == ["failed to import: RuntimeError: sys.exit(1) was called"]
    assert sorted(plugin.problems) == [
        "harness_metrics() failed: RuntimeError: sys.exit(0) was called",
        "harness_models() failed: RuntimeError: sys.exit(1) was called",
    ]
    assert "sys.exit('stop') was called" in warnings[0]


def test_a_single_spec_in_place_of_a_list_is_named() -> None:
    @hookimpl
    def harness_metrics():
        return harness.MetricSpec("a", "m:M", "")

    plugin = added(Registry(), "single", plugin_of(harness_metrics=harness_metrics))
    assert plugin.problems == ["harness_metrics() returned a single MetricSpec; return a list"]


def test_an_alias_is_suggested_but_is_no_other_name() -> None:
    @hookimpl
    def harness_metrics():
        return [harness.MetricSpec("frechet-distance", "m:M", "", aliases=("fid", "FID"))]

    registry = Registry()
    added(registry, "one", plugin_of(harness_metrics=harness_metrics))
    with pytest.raises(UsageError, match=r"unknown metric 'fid'. Did you mean 'frechet-distance'\?"):
        registry.get("metric", "fid")
    with pytest.raises(ValueError, match="write a tuple"):
        harness.MetricSpec("b", "m:M", "", aliases="fid")


def test_a_notification_that_fails_stops_no_other() -> None:
    received: list[object] = []
    warnings: list[str] = []

    @hookimpl(specname="harness_cell_started", tryfirst=True)
    def fails(cell):
        raise RuntimeError("by design")

    @hookimpl(specname="harness_cell_started")
    def receives(cell):
        received.append(cell)

    registry = Registry()
    failing = added(registry, "failing", plugin_of(fails=fails))
    added(registry, "receiving", plugin_of(receives=receives))
    for _ in range(2):
        registry.notify("harness_cell_started", warnings.append, cell="the cell")
    assert received == ["the cell", "the cell"]
    assert warnings == ["plugin dist-failing:failing: harness_cell_started() failed: RuntimeError: by design"]
    assert failing.problems == []


def test_a_version_is_the_specs_own_or_else_its_distributions() -> None:
    registry = Registry()
    added(registry, "one", plugin_of(harness_models=models("a")))
    assert registry.get("model", "a").version == "1.2"
    with pytest.raises(UsageError, match="unknown model 'b'"):
        registry.get("model", "b")


@pytest.mark.parametrize("name", ["Upper", "with space", "a.b", "", "-a"])
def test_names_that_could_not_be_typed_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        harness.ModelSpec(name, "m:M", "")


def test_every_built_in_plugin_is_without_problems_and_documented() -> None:
    registry = Registry.load()
    ours = [plugin for plugin in registry.plugins if plugin.distribution == "generative-harness"]
    assert len(ours) >= 8
    assert [plugin.problems for plugin in ours] == [[]] * len(ours)
    for kind in ("dataset", "model", "metric", "renderer", "command"):
        for each in registry.all(kind):
            assert each.spec.summary
            assert each.spec.resolve().__doc__ or kind == "command"
