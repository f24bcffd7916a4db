"""The index of a folder of leaderboards: each board in a line, with the models that may be the first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tabulate import tabulate

from harness.contracts.boards import Board
from harness.leaderboard.markdown import escaped
from harness.leaderboard.text import dataset_name, evaluation, printable, title, value_head, value_in_words

mark = "<!-- Written by harness: changes are lost. -->"
most_names = 3


def render(boards: Sequence[Board], pages: Mapping[str, str]) -> str:
    """Write the index as Markdown, with a table for each data set.

    Args:
        boards: of all data sets.
        pages: the file of each data set that has a page; boards of others are left out.
    """
    on_pages = [board for board in boards if board.dataset in pages]
    listed = [
        (board, anchor)
        for board, anchor in zip(on_pages, _anchors(on_pages), strict=True)
        if any(row.value is not None for row in board.rows)
    ]
    times = Counter((dataset_name(board), _name(board)) for board, _ in listed)
    tables: dict[str, list[list[str]]] = {}
    for board, anchor in listed:
        heading = _link(dataset_name(board), quote(pages[board.dataset]))
        link = f"{quote(pages[board.dataset])}#{quote(anchor)}"
        tables.setdefault(heading, []).append(_row(board, link, times[dataset_name(board), _name(board)] > 1))
    sections = [f"## {heading}\n\n{_table(rows)}\n\n" for heading, rows in tables.items()]
    note = "Ranges of ranks overlap where a difference is not shown. Each page has all rows, errors and settings."
    return f"{mark}\n# Leaderboards\n\n{note}\n\n{''.join(sections)}".rstrip() + "\n"


def _table(rows: Sequence[Sequence[str]]) -> str:
    heads = ["metric", "may be the first", "best value", "models", "seeds"]
    aligned = ["left", "left", "right", "right", "right"]
    return tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)


def _name(board: Board) -> str:
    metric = " ".join(filter(None, [value_head(board, board.metric), board.metric_label]))
    return " · ".join(filter(None, [metric, *evaluation(board), board.engine_label]))


def _row(board: Board, link: str, with_measure: bool) -> list[str]:
    valued = [row for row in board.rows if row.value is not None]
    first = board.may_be_first
    names = ", ".join(row.name for row in first[:most_names])
    names += f" and {len(first) - most_names} more" * (len(first) > most_names)
    seeds = sorted({row.seeds for row in valued})
    more = [board.measure, board.machine] if with_measure else []
    return [
        _link(" · ".join(filter(None, [_name(board), *more])), link),
        escaped(printable(names or "–")),
        value_in_words(first[0]) if first else "–",
        str(len({row.model for row in valued})),
        "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
    ]


def _link(text: str, address: str) -> str:
    """Return a link, which a bracket in its text does not end."""
    shown = escaped(printable(text)).replace("]", r"\]")
    return f"[{shown}]({address})"


def _anchors(boards: Sequence[Board]) -> list[str]:
    """Return the fragments that code hosts give the headings of boards, in the order in which a page has them."""
    found = []
    times: dict[tuple[str, str], int] = {}
    for board in boards:
        slug = re.sub(r"[^\w\- ]", "", title(board).lower()).replace(" ", "-")
        n = times[board.dataset, slug] = times.get((board.dataset, slug), -1) + 1
        found.append(slug if n == 0 else f"{slug}-{n}")
    return found
