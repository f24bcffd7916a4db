"""Boards as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from harness.leaderboard.board import Board
from harness.leaderboard.text import captions, cells, columns, title


def render(boards: Sequence[Board]) -> str:
    """Write boards as Markdown sections, one a board."""
    return "\n".join(_section(board) for board in boards)


def _section(board: Board) -> str:
    heads = columns(board)
    rows = [[_escaped(entry) for entry in cells(board, row)] for row in board.rows]
    aligned = ["left" if head in ("model", "note") else "right" for head in heads]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    return "\n".join([f"## {title(board)}", "", table, "", *(f"- {line}" for line in captions(board)), ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
