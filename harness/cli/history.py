"""``harness history``: what comparisons with a fixed base showed over time."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.atomic import require_writable_file
from harness.cli.options import PathType, format_option
from harness.cli.output import notice, output_console, print_formatted, warn
from harness.cli.pictures import require_picture, save_picture
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.regression.series import Group


@click.group()
def history() -> None:
    """Show what comparisons with a fixed base found over time; 'harness compare --history FILE' adds to a history."""


@history.command(
    epilog="""\b
Examples:
  harness compare v0.3.0 . --history nightly.jsonl
  harness history show nightly.jsonl --figure nightly.svg""",
)
@click.argument("file", type=PathType(), metavar="FILE")
@click.option("--name", metavar="TEXT", help="Only series whose name contains this text, in any case.")
@format_option("terminal", "markdown", "json")
@click.option("--figure", type=PathType(), metavar="FILE", help="Also draw all series: FILE.svg or FILE.png.")
def show(file: Path, name: str | None, format_: str, figure: Path | None) -> None:
    """Show each speed, metric and count over time, and where it changed.

    Comparisons are in the order of the commits of HEAD. Any change of a count is shown. A change of a speed or metric
    is shown if a test finds it, which needs 5 comparisons on each side. If nothing has changed, the test finds
    something with a probability of at most 1%. The exit code is 0, whatever has changed.
    """
    require_picture(figure)

    from harness.regression import history_report as report
    from harness.regression.history import load
    from harness.regression.series import groups_of

    groups = groups_of(load(file, warn))
    if not groups and format_ == "terminal":
        notice(f"no runs in {file} yet. Add one with: harness compare BASE HEAD --history {file}")
    if name is not None and groups:
        groups = _named(groups, name, file)
    if format_ == "terminal" and sys.stdout.isatty():
        output_console().print(report.table(groups))
    else:
        render = {"terminal": report.plain, "markdown": report.markdown, "json": report.as_json}[format_]
        print_formatted(render(groups).rstrip(), format_)
    if figure:
        save_picture(report.picture(groups), figure)


def _named(groups: list[Group], text: str, file: Path) -> list[Group]:
    """Return the groups with the series whose names contain a text.

    Raises:
        UsageError: there are none.
    """
    from dataclasses import replace

    found = []
    for group in groups:
        series = [each for each in group.series if text.lower() in each.finding.name.lower()]
        if series:
            found.append(replace(group, series=series))
    if not found:
        known = sorted({each.finding.name for group in groups for each in group.series})
        raise UsageError(f"no series in {file} has {text!r} in its name. Known: {', '.join(known) or 'none'}.")
    return found


def require_history(path: Path) -> None:
    """Check that an entry can be appended to a history.

    Raises:
        UsageError: the file is no history, or cannot be written.
    """
    from harness.regression.history import load

    require_writable_file(path, "--history")
    if path.exists():
        load(path, lambda line: None)
