"""Boards as fragments of HTML, which a notebook shows."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tabulate import tabulate

from harness.contracts.boards import Board
from harness.leaderboard.text import captions, cells, columns, printable, title


def render(boards: Sequence[Board]) -> str:
    """Write boards as tables of HTML, without style and scripts."""
    return "\n".join(map(_section, boards))


def _section(board: Board) -> str:
    heads = columns(board)
    aligned = ["left" if head in ("model", "note") else "right" for head in heads]
    names_best = board.names_best
    rows = [
        [_marked(entry, is_best=names_best and row.rank_low == 1) for entry in entries]
        for row, entries in zip(board.rows, cells(board), strict=True)
    ]
    table = tabulate(rows, [escape(head) for head in heads], "unsafehtml", colalign=aligned, disable_numparse=True)
    lines = "".join(f"<br>{escape(printable(line))}" for line in captions(board))
    # Notebooks would take dollar signs for formulas.
    return (
        f'<div class="tex2jax_ignore mathjax_ignore"><strong>{escape(title(board))}</strong>\n{table}\n'
        f"<small>{lines.removeprefix('<br>')}</small></div>"
    )


def _marked(entry: str, *, is_best: bool) -> str:
    text = escape(entry)
    return f"<strong>{text}</strong>" if is_best and text else text
