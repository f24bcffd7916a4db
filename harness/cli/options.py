"""Options and argument types that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


class Names(click.ParamType[tuple[str, ...]]):
    """Names joined by commas; none of them empty, each taken once."""

    name = "names"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> tuple[str, ...]:
        """Split the names."""
        if isinstance(value, tuple):
            return value
        names = [each.strip() for each in value.split(",")]
        if not all(names):
            self.fail(f"{value!r} has an empty item; write names joined by commas, as in a,b", param, context)
        return tuple(dict.fromkeys(names))


Command = Callable[..., Any]


def plugin_option(command: Command) -> Command:
    """Add ``--plugin FILE.py``, which may be repeated."""
    return click.option(
        "--plugin",
        "plugin_files",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE.py",
        help="Also load the plugin in this file; may be repeated.",
    )(command)


def runs_option(command: Command) -> Command:
    """Add ``--runs DIR``."""
    return click.option(
        "--runs",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path("runs"),
        show_default=True,
        metavar="DIR",
        help="Where results are kept.",
    )(command)


def format_option(*formats: str) -> Callable[[Command], Command]:
    """Add ``--format`` with the given choices, the first being the default."""
    return click.option(
        "--format",
        "format_",
        type=click.Choice(formats),
        default=formats[0],
        show_default=True,
        help="Output format.",
    )
