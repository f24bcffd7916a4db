"""``harness show``: everything that has a name, with its settings."""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path

import click

from harness.cli.description import Description, configurable_kinds, describe
from harness.cli.main import load_registry
from harness.cli.options import plugin_option
from harness.cli.output import output_console
from harness.errors import unknown

kinds = (*configurable_kinds, "figure", "board-figure", "renderer", "command")


@click.command()
@click.argument("name")
@plugin_option
def show(name: str, plugin_files: tuple[Path, ...]) -> None:
    """Show a model, metric, data set, executor, figure, renderer or command: what it is, its needs and its settings."""
    registry = load_registry(plugin_files)
    known = [each for kind in kinds for each in registry.all(kind)]
    found = [each for each in known if each.spec.name == name]
    if not found:
        raise unknown("name", name, {each.spec.name for each in known}, ChainMap(*map(registry.aliases, kinds)))
    for provided in found:
        _show(describe(provided))


def _show(described: Description) -> None:
    console, spec = output_console(), described.spec
    console.print(spec.name, style="bold")
    console.print(f"{spec.kind}, {described.origin}")
    console.print(spec.summary + "\n")
    console.print(described.documentation, style="dim", end="\n\n", soft_wrap=True)
    for heading, text in described.facts:
        console.print(f"{heading}: {text}")
    if described.settings is None:
        return
    if not described.settings:
        console.print("It has no settings.")
        return
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for heading in ("setting", "default", "takes", "meaning"):
        table.add_column(heading, overflow="fold")
    for row in described.settings:
        table.add_row(row.name, row.default, row.takes, row.meaning)
    console.print(table)
    console.print(f"\nChange one with: {described.example}")
