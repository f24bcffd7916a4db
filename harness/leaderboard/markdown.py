"""Boards as Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import quote

from tabulate import tabulate

from harness.contracts.boards import Board
from harness.leaderboard.summary import Entry, Summary, summaries
from harness.leaderboard.text import captions, cells, columns, printable, title

# An underscore within a word, as in ``latent_dim``, has no meaning, nor has # there. Code hosts link addresses.
_plain = re.compile(r"[0-9−–±.,% ]*")  # most cells are numbers
_special = re.compile(r"[\\`*\[|~$]|(?<![^\W_])_|_(?![^\W_])|(?<!\S)#|(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE)
_start = re.compile(r"^(\d*)([-+=>#.)])")  # of a list, a quotation or a heading


def render(boards: Sequence[Board]) -> str:
    """Write summaries and boards as Markdown sections."""
    return "\n".join([*map(_section_of_summary, summaries(boards)), *map(_section, boards)])


def render_figures(of_boards: Mapping[str, str], of_fits: Mapping[str, Mapping[str, str]]) -> str:
    """Write figures as sections: those of boards, then one for each kind of figure with all models side by side.

    Args:
        of_boards: the paths of pictures by the name of the figure.
        of_fits: for each kind of figure, the paths of pictures by the name of their row.
    """
    sections = [f"## {figure}\n\n![{figure}]({quote(path)})\n" for figure, path in of_boards.items()]
    for figure, by_row in sorted(of_fits.items()):
        pictures = "\n".join(
            f'<figure><img src="{quote(path)}" alt="{escape(printable(figure))} of {name}">'
            f"<figcaption>{name}</figcaption></figure>"
            for name, path in ((escape(printable(name)), path) for name, path in by_row.items())
        )
        sections.append(f"## {escaped(printable(figure))}\n\n{pictures}\n")
    return "".join(f"\n{section}" for section in sections)


def _section_of_summary(summary: Summary) -> str:
    heads = ["model", *map(escaped, summary.heads)]
    rows = [
        [escaped(name), *map(_marked, entries)] for name, entries in zip(summary.names, summary.entries, strict=True)
    ]
    aligned = ["left", *["right"] * len(summary.heads)]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    best = ["Bold: may be the first of its board."] * any(each.is_best for row in summary.entries for each in row)
    lines = [*best, *summary.captions]
    return _text(summary.title, table, lines)


def _marked(entry: Entry) -> str:
    text = escaped(entry.text)
    return (f"**{text}**" if entry.is_best else text) + " †" * entry.has_note


def _section(board: Board) -> str:
    heads = columns(board)
    rows = [[escaped(entry) for entry in entries] for entries in cells(board)]
    aligned = ["left" if head in ("model", "note") else "right" for head in heads]
    shown = [escaped(head) for head in heads]
    table = tabulate(rows, headers=shown, tablefmt="github", colalign=aligned, disable_numparse=True)
    return _text(title(board), table, captions(board))


def _text(heading: str, table: str, lines: Sequence[str]) -> str:
    items = ("- " + _start.sub(r"\1\\\2", escaped(line)) for line in lines)
    return "\n".join([f"## {escaped(heading)}", "", table, "", *items, ""])


def escaped(text: str) -> str:
    """Return Markdown that shows a line of text as it is."""
    if _plain.fullmatch(text):
        return text
    return _special.sub(r"\\\g<0>", text.replace("&", "&amp;").replace("<", "&lt;"))
