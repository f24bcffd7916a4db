"""Options that several commands share."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from harness.errors import UsageError

Command = Callable[..., Any]

most_threads = 4096  # above this, torch fails or takes all memory
_long = 200  # characters
_absent = (errno.ENOENT, errno.ENOTDIR)


class PathType(click.Path):
    """A path that is not empty, and that can be looked up: it is not too long, and its folders are readable."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(path_type=Path, file_okay=file_okay)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value):
            self.fail("the path is empty", param, ctx)
        try:
            Path(value).stat()
        except OSError as error:
            if error.errno not in _absent:
                self.fail(f"{_short(os.fspath(value))}: {error.strerror}", param, ctx)
        return super().convert(value, param, ctx)


def _short(text: str) -> str:
    """Return a text whose middle is left out if it is long."""
    return text if len(text) <= _long else f"{text[: _long // 2]}...{text[-_long // 2 :]}"


class WholeNumber(click.IntRange):
    """A whole number that is at least ``min``, and at most ``max`` if there is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            most = f" and at most {self.max}" if self.max is not None else ""
            self.fail(f"{_short(repr(value))} is not a whole number that is at least {self.min}{most}", param, ctx)


class Names(click.types.StringParamType):
    """Names joined by commas.

    Args:
        hint: what to type, said if a required option is missing.
    """

    def __init__(self, hint: str | None) -> None:
        self.hint = hint

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str | None:
        """Return the hint."""
        return self.hint


def names_option(*declarations: str, hint: str | None = None, **attributes: Any) -> Callable[[Command], Command]:
    """Add an option that takes names joined by commas and may be repeated; repeated names count once."""
    return click.option(*declarations, multiple=True, type=Names(hint), callback=_split, **attributes)


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


def with_options(options: Sequence[Any], command: Command) -> Command:
    """Return the command with these options, in this order."""
    for option in reversed(options):
        command = option(command)
    return command


def outcome_options(command: Command) -> Command:
    """Add the options of what a run shows, and of whether it computes anything; see ``require_rows``."""
    options = [
        click.option("--traceback", is_flag=True, help="Print the traceback of each cell that fails."),
        click.option("--quiet", is_flag=True, help="Show only boards, failures and warnings."),
        click.option("--json", "as_json", is_flag=True, help="Write the rows of the boards to standard output as JSON, "
                     "as 'harness leaderboard --format json' does, and all else to standard error."),
        click.option("--dry-run", is_flag=True, help="Show what would be computed and how long it takes, and exit."),
        click.option("--fresh", is_flag=True, help="Compute everything again, even if it is stored."),
    ]  # fmt: skip
    return with_options(options, command)


def require_rows(values: Mapping[str, Any]) -> None:
    """Check the values of ``outcome_options``, by name.

    Raises:
        UsageError: rows are to be written, but none computed.
    """
    if values["as_json"] and values["dry_run"]:
        raise UsageError("--dry-run computes no rows that --json could write; give one of them")


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
