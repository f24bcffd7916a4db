"""What a plugin provides, in words: for ``harness show`` and for the reference pages of the documentation."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from harness.cli.main import resolve_checked
from harness.registry import Provided
from harness.specs import Spec

if TYPE_CHECKING:
    from harness.planning.component import Component

configurable_kinds = ("model", "metric", "dataset", "executor")


@dataclass(frozen=True)
class SettingRow:
    """One setting: its name, its default or, if it is required, an example, what it takes, and its meaning."""

    name: str
    default: str
    takes: str
    meaning: str


@dataclass(frozen=True)
class Description:
    """What a plugin provides.

    Args:
        spec: its name, kind and summary.
        origin: its version and its distribution.
        documentation: the docstring of the class or function, or the help of the command.
        facts: headings, each with a line of text.
        settings: None if this kind has no settings.
        example: how to change a setting, on the command line; None if there is none to change.
    """

    spec: Spec
    origin: str
    documentation: str
    facts: list[tuple[str, str]]
    settings: list[SettingRow] | None
    example: str | None


def describe(provided: Provided) -> Description:
    """Describe a model, metric, data set, executor, figure, renderer or command.

    Raises:
        UsageError: it cannot be imported, or does not keep its contract.
    """
    spec, plugin = provided.spec, provided.plugin
    factory = resolve_checked(provided, _check_of(spec.kind))
    is_command = isinstance(factory, click.Command)
    documentation = inspect.cleandoc(factory.help or "") if is_command else inspect.getdoc(factory) or ""
    origin = f"version {provided.version}, from {plugin.distribution} {plugin.version}"
    described = Description(spec, origin, documentation, [], None, None)
    if spec.kind not in configurable_kinds:
        return replace(described, facts=_facts(spec, factory, None))
    component = _with_defaults(provided) if spec.kind != "executor" else None
    rows, example = _settings(provided)
    return replace(described, facts=_facts(spec, factory, component), settings=rows, example=example)


def _with_defaults(provided: Provided) -> Component:
    """Return a model, metric or data set with its default settings, and the examples of those that are required.

    Raises:
        UsageError: it does not keep its contract.
    """
    from harness.planning.component import config_type_of, resolve_component
    from harness.settings import describe as settings_of

    required = {each.name: each.default for each in settings_of(config_type_of(provided)) if each.required}
    return resolve_component(provided, required)


def _check_of(kind: str) -> Any:
    from harness.contracts.checks import (
        problem_of_board_figure,
        problem_of_command,
        problem_of_executor,
        problem_of_renderer,
    )

    checks = {
        "board-figure": problem_of_board_figure,
        "command": problem_of_command,
        "executor": problem_of_executor,
        "renderer": problem_of_renderer,
    }
    return checks.get(kind, lambda _: None)


def _facts(spec: Spec, factory: Any, component: Component | None) -> list[tuple[str, str]]:
    from harness.contracts.models import all_capabilities, in_words, offers

    facts = [("Also called", ", ".join(spec.aliases))] if spec.aliases else []
    needs = ", ".join(in_words(need) for need in getattr(factory, "needs", ())) or "nothing"
    if spec.kind == "model":
        offered = [in_words(each) for each in all_capabilities if offers(factory, each)]
        facts += [("Offers", ", ".join(offered) or "nothing that a metric could use")]
    elif spec.kind == "metric" and component is not None:
        metric = factory(component.config)
        better = f"{metric.direction} is better" if metric.direction else "not ranked"
        facts += [("Unit", f"{metric.unit}, {better}"), ("Needs of a model", needs)]
        tolerance = getattr(spec, "tolerance", None)
        accepted = "1% of the value" if tolerance is None else f"{tolerance:g} {metric.unit}"
        facts += [("Tolerance between versions", accepted)]
        facts += [("Limits", metric.limits)] if getattr(metric, "limits", None) else []
    elif spec.kind == "figure":
        facts += [("Needs of a model", needs), ("Drawn by", "harness run, harness figures")]
    elif spec.kind == "board-figure":
        facts += [("Drawn by", "harness run, harness figures, beside the leaderboards of a data set")]
    elif spec.kind == "executor":
        facts += [("Use it with", f"harness run --executor {spec.name}")]
    elif spec.kind == "renderer":
        facts += [("Use it with", f"harness leaderboard --format {spec.name}")]
    elif spec.kind == "command":
        facts += [("Options", f"harness {spec.name} --help")]
    return facts


def _settings(provided: Provided) -> tuple[list[SettingRow], str | None]:
    """Return the settings, and how to change the first."""
    from harness.planning.component import config_type_of
    from harness.settings import describe as settings_of
    from harness.settings import show

    settings = settings_of(config_type_of(provided))
    rows = []
    for each in settings:
        default = f"required, such as {show(each.default)}" if each.required else show(each.default)
        rows.append(SettingRow(each.name, default, each.expected(), each.help))
    example = f"--set {provided.spec.name}.{settings[0].name}={show(settings[0].default)}" if settings else None
    return rows, example
