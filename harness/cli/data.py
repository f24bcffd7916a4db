"""Options that say where data come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from harness.cli.options import Command
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.source import DataSource

T = TypeVar("T")

default_dataset = "binarized-mnist-10k"


def data_dir_option(command: Command) -> Command:
    """Add ``--data-dir DIR``."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path),
        callback=_existing,
        envvar="HARNESS_DATA_DIR",
        metavar="DIR",
        show_envvar=True,
        help="A folder that has the full data sets in torchvision's layout; without it they are downloaded.",
    )(command)


def source_from(data_dir: Path | None, announce: Callable[[str], None]) -> DataSource:
    """Return where data come from: the user's folder, and the harness's own."""
    from harness.data.source import DataSource

    return DataSource(data_dir, cache_dir(), announce, show_bar)


def show_bar(items: Iterable[T], doing: str, total: int) -> Iterable[T]:
    """Show a bar on a terminal while items come."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, highlight=False)
    return track(items, doing, total, console=console, transient=True, disable=not console.is_terminal)


def cache_dir() -> Path:
    """Return the folder for what is downloaded and decoded, ``HARNESS_CACHE_DIR`` or the system's usual place."""
    import platformdirs

    return Path(os.environ.get("HARNESS_CACHE_DIR") or platformdirs.user_cache_dir("generative-harness"))


def _existing(context: click.Context, option: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        raise UsageError(f"--data-dir {folder}: there is no such folder")
    return folder
