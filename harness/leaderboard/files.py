"""Writes the leaderboards of a store to files: ``<dataset>.md`` and ``<dataset>.svg``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.errors import StoreError
from harness.leaderboard import markdown, terminal
from harness.leaderboard.board import Board
from harness.store import replacing


def write_leaderboards(boards: Iterable[Board], folder: Path) -> list[Path]:
    """Write one Markdown page and one picture per data set; return their paths.

    Raises:
        StoreError: the disk is full or the folder cannot be written to.
    """
    by_dataset: dict[str, list[Board]] = {}
    for board in boards:
        by_dataset.setdefault(board.dataset, []).append(board)
    written = []
    for dataset, its_boards in by_dataset.items():
        picture = f"![The boards below as a picture]({dataset}.svg)"
        page = f"# {dataset}\n\n{picture}\n\n{markdown.render(its_boards)}"
        for suffix, text in (("md", page), ("svg", terminal.render_svg(its_boards))):
            path = folder / f"{dataset}.{suffix}"
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temporary:
                    temporary.write_text(text, encoding="utf-8")
            except OSError as error:
                raise StoreError(f"cannot write {path}: {error.strerror}. The records are stored.") from error
            written.append(path)
    return written
