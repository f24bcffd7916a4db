"""One broken plugin never stops the rest."""

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
    assert second.problems == ["model 'b' is already provided by dist-one; this one is left out"]


def test_a_hook_that_raises_or_returns_something_else_is_told_of() -> None:
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


def test_a_hook_that_is_not_marked_or_takes_wrong_arguments_is_told_of() -> None:
    def harness_models():
        return []

    @hookimpl
    def harness_metrics(session):
        return []

    registry = Registry()
    assert "not marked" in added(registry, "unmarked", plugin_of(harness_models=harness_models)).problems[0]
    assert "session" in added(registry, "wrong", plugin_of(harness_metrics=harness_metrics)).problems[0]


@pytest.mark.parametrize("failure", [SystemExit(1), SyntaxError("bad"), ImportError("gone"), RecursionError()])
def test_whatever_an_import_raises_is_told_of(failure: BaseException) -> None:
    def load() -> object:
        raise failure

    registry = Registry()
    plugin = Plugin("broken", "dist", "1")
    registry.add(plugin, load)
    assert plugin.problems[0].startswith("failed to import: " + type(failure).__name__)
    assert registry.broken == [plugin]


def test_a_notice_that_fails_keeps_nobody_else_from_hearing() -> None:
    heard = []

    @hookimpl(specname="harness_cell_started", tryfirst=True)
    def fails(cell):
        raise RuntimeError("deaf")

    @hookimpl(specname="harness_cell_started")
    def hears(cell):
        heard.append(cell)

    registry = Registry()
    deaf = added(registry, "deaf", plugin_of(harness_cell_started=fails))
    added(registry, "listening", plugin_of(harness_cell_started=hears))
    registry.notify("harness_cell_started", cell="the cell")
    registry.notify("harness_cell_started", cell="the cell")
    assert heard == ["the cell", "the cell"]
    assert deaf.problems == ["harness_cell_started() failed: RuntimeError: deaf"]


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
