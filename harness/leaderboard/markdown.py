"""Boards as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from tabulate import tabulate

from harness.contracts.boards import Board
from harness.leaderboard.text import captions, cells, columns, title


def render(boards: Sequence[Board]) -> str:
    """Write boards as Markdown sections, one a board."""
    return "\n".join(_section(board) for board in boards)


def render_figures(of_boards: Mapping[str, str], of_fits: Mapping[str, Mapping[str, str]]) -> str:
    """Write figures as sections: those of boards, then one for each kind of figure with all models side by side.

    Args:
        of_boards: the paths of pictures by the name of the figure.
        of_fits: for each kind of figure, the paths of pictures by the name of their row.
    """
    sections = [f"## {figure}\n\n![{figure}]({quote(path)})\n" for figure, path in of_boards.items()]
    for figure, by_row in sorted(of_fits.items()):
        pictures = "\n".join(
            f'<figure><img src="{quote(path)}" alt="{escape(figure)} of {escape(name)}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for name, path in by_row.items()
        )
        sections.append(f"## {figure}\n\n{pictures}\n")
    return "".join(f"\n{section}" for section in sections)


def _section(board: Board) -> str:
    heads = columns(board)
    rows = [[_escaped(entry) for entry in cells(board, row)] for row in board.rows]
    aligned = ["left" if head in ("model", "note") else "right" for head in heads]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    return "\n".join([f"## {title(board)}", "", table, "", *(f"- {line}" for line in captions(board)), ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
