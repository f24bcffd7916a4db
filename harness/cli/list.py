"""``harness list``: the models, metrics, data sets and figures that plugins provide."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.main import load_registry
from harness.cli.options import format_option, plugin_option
from harness.cli.output import output_console
from harness.registry import Provided, own_distribution

_kinds = {
    "models": "model",
    "metrics": "metric",
    "datasets": "dataset",
    "figures": "figure",
    "board-figures": "board-figure",
    "executors": "executor",
}


@click.command("list")
@click.argument("kind", type=click.Choice(list(_kinds)), required=False)
@format_option("terminal", "json")
@plugin_option
def list_(kind: str | None, format_: str, plugin_files: tuple[Path, ...]) -> None:
    """List what all plugins provide; board-figures are figures of boards, executors start workers on other machines."""
    registry = load_registry(plugin_files)
    found = {name: registry.all(_kinds[name]) for name in ([kind] if kind else _kinds)}
    if format_ == "json":
        print(json.dumps([_row(each) for provided in found.values() for each in provided], indent=1))
    else:
        _show(found)


def _row(provided: Provided) -> dict[str, object]:
    spec = provided.spec
    return {
        "name": spec.name,
        "aliases": spec.aliases,
        "kind": spec.kind,
        "summary": spec.summary,
        "distribution": provided.plugin.distribution,
    }


def _show(found: dict[str, list[Provided]]) -> None:
    from rich.table import Table

    console = output_console()
    for title, provided in found.items():
        table = Table(box=None, title=title.upper(), title_justify="left", title_style="bold", show_header=False)
        table.add_column(no_wrap=True, style="cyan")
        table.add_column()
        for each in provided:
            table.add_row(each.spec.name, _description(each))
        console.print(table)
    console.print("\n'harness show NAME' shows one of them with its settings.")


def _description(provided: Provided) -> str:
    spec, distribution = provided.spec, provided.plugin.distribution
    aliases = f" (also: {', '.join(spec.aliases)})" if spec.aliases else ""
    origin = f" [{distribution}]" if distribution != own_distribution else ""
    return f"{spec.summary}{aliases}{origin}"
