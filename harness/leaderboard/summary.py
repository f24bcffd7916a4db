"""One table of models × metrics for each data set, which stands before the boards of its metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from harness.contracts.boards import Board, Row
from harness.leaderboard.text import metric_name, printable, subject, value_head, value_in_words
from harness.planning.budget import in_words


@dataclass(frozen=True)
class Entry:
    """A value with its standard error, as text.

    ``is_best`` if its row may be the first of its board, ``has_note`` if its row has a note there.
    """

    text: str
    is_best: bool = False
    has_note: bool = False


@dataclass(frozen=True)
class Summary:
    """The values of all rows of several boards of one data set.

    Args:
        title: names the data set.
        heads: of the columns, one for each board: the metric with its unit and direction.
        names: of the rows.
        entries: for each row, one for each board.
        captions: what a reader must know to understand the entries.
    """

    title: str
    heads: Sequence[str]
    names: Sequence[str]
    entries: Sequence[Sequence[Entry]]
    captions: Sequence[str]


def summaries(boards: Sequence[Board]) -> list[Summary]:
    """Return a summary of every data set with values on several boards of the same split and evaluation seed."""
    groups: dict[str, list[Board]] = {}
    for board in boards:
        if any(row.value is not None for row in board.rows):
            key = [board.dataset, board.dataset_settings, board.dataset_content, board.split, board.evaluation_seed]
            groups.setdefault(_key(key), []).append(board)
    return [_summary(group) for group in groups.values() if len(group) > 1]


def _summary(boards: Sequence[Board]) -> Summary:
    heads, measures = _heads(boards)
    rows: dict[str, dict[int, Row]] = {}
    for number_of_board, board in enumerate(boards):
        for key, row in _keyed(board):
            rows.setdefault(key, {})[number_of_board] = row
    names_best = [board.names_best for board in boards]
    entries = [[_entry(found.get(place), names_best[place]) for place in range(len(boards))] for found in rows.values()]
    of_timings = "of timings over rounds, else " if any(board.machine for board in boards) else ""
    of_notes = ["†: has a note on its board."] * any(each.has_note for row in entries for each in row)
    return Summary(
        title=f"{subject(boards[0])} · summary of {len(boards)} boards",
        heads=heads,
        names=_names([list(found.values()) for found in rows.values()]),
        entries=entries,
        captions=[
            f"±: standard error, {of_timings}over examples and seeds. Ranks and spreads over seeds are on the boards.",
            *of_notes,
            *measures,
        ],
    )


def _names(rows: Sequence[Sequence[Row]]) -> list[str]:
    """Return the fullest name that the boards give each row, with its budget if rows would have the same name."""
    names = [max((row.name for row in found), key=len) for found in rows]
    times = Counter(names)
    budgets = [f" ({in_words(found[0].budget)})" if found[0].budget else "" for found in rows]
    return [printable(name + budget * (times[name] > 1)) for name, budget in zip(names, budgets, strict=True)]


def _heads(boards: Sequence[Board]) -> tuple[list[str], list[str]]:
    """Return the head of each board, and what distinguishes boards whose heads would be the same."""
    plain = [metric_name(board) for board in boards]
    letters = {name: iter(ascii_lowercase) for name, times in Counter(plain).items() if times > 1}
    heads, lines = [], []
    for name, board in zip(plain, boards, strict=True):
        letter = next(letters[name], "") if name in letters else ""
        named = " ".join(filter(None, [name, letter]))
        heads.append(printable(value_head(board, named)))
        facts = "; ".join(filter(None, [board.measure, board.machine]))
        if letter and facts:
            lines.append(printable(f"{named}: {facts}."))
    return heads, lines


def _keyed(board: Board) -> list[tuple[str, Row]]:
    """Return the rows with what identifies them on all boards; the label, too, if nothing else tells two apart."""
    keys = [_key([row.model, row.settings, row.budget, row.engine]) for row in board.rows]
    times = Counter(keys)
    return [
        (key if times[key] == 1 else _key([key, row.label]), row) for key, row in zip(keys, board.rows, strict=True)
    ]


def _entry(row: Row | None, names_best: bool) -> Entry:
    if row is None:
        return Entry("")
    if row.value is None:
        return Entry(row.status)
    return Entry(value_in_words(row), names_best and row.rank_low == 1, row.reason is not None)


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)
