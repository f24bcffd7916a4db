"""``harness show``: everything that has a name, with its settings."""

from __future__ import annotations

import inspect
from collections import ChainMap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.main import load_registry, resolve_checked
from harness.cli.options import plugin_option
from harness.cli.output import output_console
from harness.errors import unknown
from harness.registry import Provided
from harness.specs import Spec

if TYPE_CHECKING:
    from harness.planning.component import Component

configurable_kinds = ("model", "metric", "dataset")
kinds = (*configurable_kinds, "figure", "board-figure", "renderer", "command")


@click.command()
@click.argument("name")
@plugin_option
def show(name: str, plugin_files: tuple[Path, ...]) -> None:
    """Show a model, metric, data set, figure, renderer or command: what it is, what it needs, and its settings."""
    registry = load_registry(plugin_files)
    known = [each for kind in kinds for each in registry.all(kind)]
    found = [each for each in known if each.spec.name == name]
    if not found:
        raise unknown("name", name, {each.spec.name for each in known}, ChainMap(*map(registry.aliases, kinds)))
    for provided in found:
        _show(provided)


def _show(provided: Provided) -> None:
    spec, plugin = provided.spec, provided.plugin
    console = output_console()
    factory = resolve_checked(provided, _check_of(spec.kind))
    component = _with_defaults(provided) if spec.kind in configurable_kinds else None
    console.print(spec.name, style="bold")
    console.print(f"{spec.kind}, version {provided.version}, from {plugin.distribution} {plugin.version}")
    console.print(spec.summary + "\n")
    documentation = (
        inspect.cleandoc(factory.help or "") if isinstance(factory, click.Command) else inspect.getdoc(factory)
    )
    console.print(documentation or "", style="dim", end="\n\n", soft_wrap=True)
    for heading, text in _facts(spec, factory, component):
        console.print(f"{heading}: {text}")
    if component is not None:
        _show_settings(component)


def _with_defaults(provided: Provided) -> Component:
    """Return a model, metric or data set with its default settings, and the examples of those that are required.

    Raises:
        UsageError: it does not keep its contract.
    """
    from harness.planning.component import config_type_of, resolve_component
    from harness.settings import describe

    required = {each.name: each.default for each in describe(config_type_of(provided)) if each.required}
    return resolve_component(provided, required)


def _check_of(kind: str) -> Any:
    from harness.contracts.checks import problem_of_board_figure, problem_of_command, problem_of_renderer

    checks = {
        "board-figure": problem_of_board_figure,
        "command": problem_of_command,
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
    elif spec.kind == "renderer":
        facts += [("Use it with", f"harness leaderboard --format {spec.name}")]
    elif spec.kind == "command":
        facts += [("Options", f"harness {spec.name} --help")]
    return facts


def _show_settings(component: Component) -> None:
    from rich.table import Table

    from harness.settings import describe
    from harness.settings import show as written

    console = output_console()
    settings = describe(type(component.config))
    if not settings:
        console.print("It has no settings.")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("setting", "default", "takes", "meaning"):
        table.add_column(heading, overflow="fold")
    for each in settings:
        default = f"required, such as {written(each.default)}" if each.required else written(each.default)
        table.add_row(each.name, default, each.expected(), each.help)
    console.print(table)
    first = settings[0]
    console.print(f"\nChange one with: --set {component.name}.{first.name}={written(first.default)}")
