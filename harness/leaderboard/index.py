"""The index of a folder of leaderboards: each board in a line, with the models that may be the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from tabulate import tabulate

from harness.contracts.boards import Board, Row
from harness.leaderboard.markdown import escaped
from harness.leaderboard.text import dataset_name, printable, value_head, value_in_words

mark = "<!-- Written by harness: changes are lost. -->"
most_names = 3


def render(boards: Sequence[Board], pages: Mapping[str, str]) -> str:
    """Write the index as Markdown.

    Args:
        boards: of all data sets.
        pages: the file of each data set that has a page; boards of others are left out.
    """
    listed = [board for board in boards if board.dataset in pages and any(row.value is not None for row in board.rows)]
    times = Counter(map(_name, listed))
    rows = [_row(board, pages[board.dataset], times[_name(board)] > 1) for board in listed]
    heads = ["data set", "metric", "may be the first", "best value", "models", "seeds"]
    aligned = ["left", "left", "left", "right", "right", "right"]
    table = tabulate(rows, headers=heads, tablefmt="github", colalign=aligned, disable_numparse=True)
    note = "Models without a significant difference share a rank. Each page has all rows, errors and settings."
    return f"{mark}\n# Leaderboards\n\n{table}\n\n{note}\n"


def may_be_first(board: Board) -> list[Row]:
    """Return the rows that may be the first of a board, or none if no other row has a rank."""
    ranked = [row for row in board.rows if row.rank_low is not None]
    return [row for row in ranked if row.rank_low == 1 and len(ranked) > 1]


def _name(board: Board) -> tuple[str, str]:
    return dataset_name(board), " ".join(filter(None, [value_head(board, board.metric), board.metric_label]))


def _row(board: Board, page: str, with_measure: bool) -> list[str]:
    valued = [row for row in board.rows if row.value is not None]
    first = [row.name for row in may_be_first(board)]
    names = ", ".join(first[:most_names]) + f" and {len(first) - most_names} more" * (len(first) > most_names)
    seeds = sorted({row.seeds for row in valued})
    dataset, metric = _name(board)
    measure = f" · {board.measure}" if with_measure and board.measure else ""
    return [
        f"[{escaped(printable(dataset))}]({quote(page)})",
        *(escaped(printable(text)) for text in (metric + measure, names or "–", value_in_words(valued[0]))),
        str(len({row.model for row in valued})),
        "–".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
    ]
