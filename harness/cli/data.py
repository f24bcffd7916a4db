"""Options that choose where data come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click
from click.core import ParameterSource

from harness.cli.options import Command, PathType
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.source import DataSource

T = TypeVar("T")

default_dataset = "binarized-mnist-10k"
_variable = "HARNESS_DATA_DIR"


def data_dir_option(command: Command) -> Command:
    """Add ``--data-dir DIR``."""
    return click.option(
        "--data-dir",
        type=PathType(),
        callback=_existing,
        envvar=_variable,
        metavar="DIR",
        show_envvar=True,
        help="Folder with the full data sets in torchvision's layout; without it they are downloaded.",
    )(command)


def source_from(data_dir: Path | None, announce: Callable[[str], None]) -> DataSource:
    """Return the source of data: the user's folder, and the harness's cache."""
    from harness.data.source import DataSource

    return DataSource(data_dir, cache_dir(), announce, show_bar)


def show_bar(items: Iterable[T], doing: str, total: int) -> Iterable[T]:
    """Yield the items, and show a progress bar if standard error is a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True, highlight=False)
    return track(items, doing, total, console=console, transient=True, disable=not console.is_terminal)


def cache_dir() -> Path:
    """Return the folder of downloaded and decoded data: ``HARNESS_CACHE_DIR``, or the system's usual cache folder."""
    import platformdirs

    return Path(os.environ.get("HARNESS_CACHE_DIR") or platformdirs.user_cache_dir("generative-harness"))


def _existing(context: click.Context, option: click.Parameter, folder: Path | None) -> Path | None:
    if folder is not None and not folder.is_dir():
        from_variable = context.get_parameter_source(str(option.name)) is ParameterSource.ENVIRONMENT
        name = f"{_variable}=" if from_variable else "--data-dir "
        raise UsageError(f"{name}{folder}: there is no such folder")
    return folder
