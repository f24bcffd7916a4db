"""``harness leaderboard``: the boards of past runs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.main import load_registry, resolve_checked
from harness.cli.options import names_option, plugin_option, runs_option
from harness.cli.output import print_formatted, warn
from harness.cli.stored import nothing_shown, selected
from harness.contracts.checks import problem_of_renderer
from harness.errors import UsageError
from harness.leaderboard import explain as explanations
from harness.leaderboard.board import build_boards, build_measured_boards
from harness.results.curation import shown_records
from harness.results.store import Store


@click.command()
@names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="Only these data sets.")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these metrics.")
@click.option("--format", "format_", default="terminal", show_default=True, metavar="FORMAT",
              help="terminal, markdown, latex, json, csv, svg, or one that a plugin provides.")  # fmt: skip
@click.option("--explain", nargs=2, metavar="A B",
              help="Explain the difference between two rows instead: its 95% intervals, what they rest on, and how "
              "many seeds would decide it. A row is named by its model, with its label as on the board.")  # fmt: skip
@runs_option
@plugin_option
def leaderboard(
    datasets: tuple[str, ...],
    metrics: tuple[str, ...],
    format_: str,
    explain: tuple[str, str] | None,
    runs: Path,
    plugin_files: tuple[Path, ...],
) -> None:
    """Show the leaderboards of all stored results."""
    registry = load_registry(plugin_files)
    if explain and format_ not in ("terminal", "json"):
        raise UsageError(f"--explain has the formats terminal and json, not {format_!r}")
    render = resolve_checked(registry.get("renderer", format_), problem_of_renderer)
    store = Store(runs, warn)
    stored = shown_records(store)
    if not stored:
        nothing = nothing_shown(store)
        if format_ == "terminal" or datasets or metrics or explain:
            raise nothing
        warn(str(nothing))
    records = selected(stored, {"dataset": datasets, "metric": metrics}, runs)
    if explain:
        found = explanations.explain(build_measured_boards(records, store, stored), *explain)
        render_found = explanations.render_json if format_ == "json" else explanations.render
        print_formatted(render_found(found), format_)
        return
    text = render(build_boards(records, store, stored))
    if not isinstance(text, str):
        raise UsageError(f"renderer {format_!r} returned {type(text).__name__}; it must return text")
    print_formatted(text, format_)
