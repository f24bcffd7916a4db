"""Writes the leaderboards of a store to files.

``README.md`` is the index. ``<dataset>.md``, ``<dataset>.svg`` and ``<dataset>.figures/`` belong to a data set.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.atomic import alone_in, replacing
from harness.contracts.boards import Board, Row
from harness.contracts.events import Record
from harness.errors import StoreError
from harness.leaderboard import index, markdown, terminal
from harness.leaderboard.board import build_boards
from harness.leaderboard.figures import draw_board_figures
from harness.planning.budget import in_words
from harness.registry import Registry
from harness.results.curation import shown_records
from harness.results.store import Store

_not_in_names = re.compile(r"[^\w.-]")  # of files


class Rewritten(NamedTuple):
    """The files that were written, all boards of the store, and the records that they show."""

    paths: list[Path]
    boards: list[Board]
    records: list[Record]


def rewrite(
    datasets: Collection[str], store: Store, folder: Path, registry: Registry, warn: Callable[[str], None]
) -> Rewritten:
    """Write the leaderboards of data sets from everything in the store.

    Runs that end at the same time write one after the other, each with the results of those before.
    ``registry`` has the figures of boards, and ``warn`` shows a line about one that cannot be drawn.

    Raises:
        StoreError: the disk is full or a folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(error, folder) from error
    with alone_in(folder):
        records = shown_records(store)
        boards = build_boards(records, store)
        written = write_leaderboards(
            [board for board in boards if board.dataset in datasets], folder, store, registry, warn
        )
        return Rewritten([*_write_index(boards, folder), *written], boards, records)


def write_leaderboards(
    boards: Iterable[Board], folder: Path, store: Store, registry: Registry, warn: Callable[[str], None]
) -> list[Path]:
    """Write one Markdown page and one picture per data set, with figures; return their paths.

    The figures are those of the boards, and copies of those of the fits.

    Raises:
        StoreError: the disk is full or the folder cannot be written to.
    """
    by_dataset: dict[str, list[Board]] = {}
    for board in boards:
        by_dataset.setdefault(board.dataset, []).append(board)
    written = []
    for dataset, its_boards in by_dataset.items():
        page, picture, figures = (folder / f"{_file_name(dataset)}.{suffix}" for suffix in ("md", "svg", "figures"))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            drawn = _write_figures(draw_board_figures(its_boards, registry, warn), figures)
            copied = _copy_figures(its_boards, figures, store)
            text = f"# {dataset}\n\n[All boards as a picture]({picture.name})\n\n{markdown.render(its_boards)}"
            for path, content in (
                (page, text + markdown.render_figures(drawn, copied)),
                (picture, terminal.render_svg(its_boards)),
            ):
                with replacing(path) as temporary:
                    temporary.write_text(content, encoding="utf-8")
        except OSError as error:
            raise _not_written(error, folder) from error
        written += [page, picture, *([figures] if drawn or copied else [])]
    return written


def _write_index(boards: Sequence[Board], folder: Path) -> list[Path]:
    """Write the index of the pages in a folder, unless a file of the user has its name."""
    path = folder / "README.md"
    try:
        if path.exists() and not path.read_text(encoding="utf-8").startswith(index.mark):
            return []
        names = {board.dataset: f"{_file_name(board.dataset)}.md" for board in boards}
        pages = {dataset: name for dataset, name in names.items() if (folder / name).exists()}
        if not pages:
            return []
        with replacing(path) as temporary:
            temporary.write_text(index.render(boards, pages), encoding="utf-8")
    except OSError as error:
        raise _not_written(error, folder) from error
    return [path]


def _file_name(dataset: str) -> str:
    return _not_in_names.sub("-", dataset)


def _not_written(error: OSError, folder: Path) -> StoreError:
    return StoreError(f"cannot write {error.filename or folder}: {error.strerror}. The records are stored.")


def _write_figures(figures: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """Write the figures of boards into an empty folder; return their paths relative to the page, by name."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in figures.items():
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.png").write_bytes(content)
    return {name: f"{folder.name}/{name}.png" for name in figures}


def _copy_figures(boards: Sequence[Board], folder: Path, store: Store) -> dict[str, dict[str, str]]:
    """Copy the figures of the boards' fits, so that a page can be moved or published with its folder.

    A figure has the name of its row. If several fits share it, the budget and the key are added.

    Returns:
        For each kind of figure, the paths of the copies relative to the page, by the name of the row.
    """
    rows = {row.fit_key: row for board in boards for row in board.rows}
    names = Counter(row.name for row in rows.values())
    copied: dict[str, dict[str, str]] = {}
    for key, row in rows.items():
        name = row.name if names[row.name] == 1 else f"{row.name} ({_distinguished(row, key)})"
        for figure in store.figures(key):
            folder.mkdir(exist_ok=True)
            copy = folder / _not_in_names.sub("-", f"{row.model}-{key[:8]}-{figure.name}")
            shutil.copyfile(figure, copy)
            copied.setdefault(figure.stem, {})[name] = f"{folder.name}/{copy.name}"
    return copied


def _distinguished(row: Row, key: str) -> str:
    return ", ".join(filter(None, [in_words(dict(row.budget)) if row.budget else "", f"fit {key[:8]}"]))
