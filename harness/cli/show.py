"""``harness show``: one model, metric or dataset, with its settings."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from harness.cli.main import load_registry
from harness.cli.options import plugin_option
from harness.errors import unknown
from harness.registry import Provided

kinds = ("model", "metric", "dataset")


@click.command()
@click.argument("name")
@plugin_option
def show(name: str, plugin_files: tuple[Path, ...]) -> None:
    """Show a model, metric or dataset: what it is, what it offers or needs, and its settings."""
    registry = load_registry(plugin_files)
    found = [each for kind in kinds for each in registry.all(kind) if each.spec.name == name]
    if not found:
        raise unknown("name", name, [each.spec.name for kind in kinds for each in registry.all(kind)])
    for provided in found:
        _show(provided)


def _show(provided: Provided) -> None:
    from rich.console import Console
    from rich.table import Table

    from harness.planning.component import config_type_of
    from harness.settings import describe
    from harness.settings import show as written

    spec = provided.spec
    settings = describe(config_type_of(provided))
    console = Console(highlight=False, markup=False)
    console.print(spec.name, style="bold")
    console.print(
        f"{spec.kind}, version {provided.version}, of {provided.plugin.distribution} {provided.plugin.version}"
    )
    console.print(spec.summary + "\n")
    console.print(inspect.getdoc(spec.resolve()) or "", style="dim", end="\n\n", soft_wrap=True)
    for heading, text in _facts(spec.kind, spec.resolve()):
        console.print(f"{heading}: {text}")
    if not settings:
        console.print("It has no settings.")
        return
    table = Table(box=None, header_style="bold")
    for heading in ("setting", "default", "takes", "meaning"):
        table.add_column(heading, overflow="fold")
    for each in settings:
        table.add_row(each.name, written(each.default), each.expected(), each.help)
    console.print(table)
    first = settings[0]
    console.print(f"\nChange one with: --set {spec.name}.{first.name}={written(first.default)}")


def _facts(kind: str, factory: Any) -> list[tuple[str, str]]:
    from harness.contracts.models import all_capabilities, in_words, offers

    if kind == "model":
        offered = [in_words(each) for each in all_capabilities if offers(factory, each)]
        return [("Offers", ", ".join(offered) or "nothing that a metric could use")]
    if kind == "metric":
        needs = ", ".join(in_words(need) for need in getattr(factory, "needs", ()))
        better = f"{factory.unit}, {factory.direction or 'neither end'} is better"
        return [("Unit", better), ("Needs of a model", needs or "nothing")]
    return []
