"""Boards as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from tabulate import tabulate

from harness.contracts.boards import Board
from harness.leaderboard.summary import Entry, Summary, summaries
from harness.leaderboard.text import captions, cells, columns, title


def render(boards: Sequence[Board]) -> str:
    """Write summaries and boards as Markdown sections."""
    return "\n".join([*map(_section_of_summary, summaries(boards)), *map(_section, boards)])


def render_figures(figures: Mapping[str, Mapping[str, str]]) -> str:
    """Write figures as sections, one for each kind with all models side by side.

    Args:
        figures: for each kind of figure, the paths of pictures by the name of their row.
    """
    sections = []
    for figure, by_row in sorted(figures.items()):
        pictures = "\n".join(
            f'<figure><img src="{quote(path)}" alt="{escape(figure)} of {escape(name)}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
            for name, path in by_row.items()
        )
        sections.append(f"## {figure}\n\n{pictures}\n")
    return "".join(f"\n{section}" for section in sections)


def _section_of_summary(summary: Summary) -> str:
    heads = ["model", *map(_escaped, summary.heads)]
    rows = [
        [_escaped(name), *map(_marked, entries)] for name, entries in zip(summary.names, summary.entries, strict=True)
    ]
    aligned = ["left", *["right"] * len(summary.heads)]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    lines = ["Bold: may be the first of its board.", *summary.captions]
    return "\n".join([f"## {summary.title}", "", table, "", *(f"- {line}" for line in lines), ""])


def _marked(entry: Entry) -> str:
    text = _escaped(entry.text)
    return (f"**{text}**" if entry.is_best else text) + " †" * entry.has_note


def _section(board: Board) -> str:
    heads = columns(board)
    rows = [[_escaped(entry) for entry in cells(board, row)] for row in board.rows]
    aligned = ["left" if head in ("model", "note") else "right" for head in heads]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    return "\n".join([f"## {title(board)}", "", table, "", *(f"- {line}" for line in captions(board)), ""])


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
