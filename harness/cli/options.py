"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


class PathType(click.Path):
    """A path that is not empty."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


class WholeNumber(click.IntRange):
    """A whole number that is at least ``min``."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is not a whole number that is at least {self.min}", param, ctx)


def names_option(*declarations: str, **attributes: Any) -> Callable[[Command], Command]:
    """Add an option that takes names joined by commas and may be repeated; repeated names count once."""
    return click.option(*declarations, multiple=True, callback=_split, **attributes)


def _split(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    names = [name.strip() for each in given for name in each.split(",")]
    if not all(names):
        raise click.BadParameter(
            f"{','.join(given)!r} has an empty item; write names joined by commas, as in a,b", context, option
        )
    return tuple(dict.fromkeys(names))


def plugin_option(command: Command) -> Command:
    """Add ``--plugin FILE.py``, which may be repeated."""
    return click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        type=PathType(),
        metavar="FILE.py",
        help="Also load the plugin in this file; may be repeated.",
    )(command)


def runs_option(command: Command) -> Command:
    """Add ``--runs DIR``."""
    return _folder_option("runs", "Folder of the results.")(command)


def leaderboards_option(command: Command) -> Command:
    """Add ``--leaderboards DIR``."""
    return _folder_option("leaderboards", "Folder of the leaderboards.")(command)


def _folder_option(name: str, what: str) -> Callable[[Command], Command]:
    return click.option(
        f"--{name}",
        type=PathType(file_okay=False),
        default=Path(name),
        show_default=True,
        metavar="DIR",
        help=what,
    )


def format_option(*formats: str) -> Callable[[Command], Command]:
    """Add ``--format`` with the given choices; the first is the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output format.",
    )
