"""One table of models × metrics for each data set, which stands before the boards of its metrics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

from harness.contracts.boards import Board, Row
from harness.leaderboard.board import short_version, training
from harness.leaderboard.text import metric_name, printable, subject, value_head, value_in_words
from harness.planning.budget import in_words
from harness.settings import show


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
            dataset = [board.dataset, board.dataset_distribution, board.dataset_version, board.dataset_settings]
            key = _key([*dataset, board.dataset_content, board.split, board.evaluation_seed])
            groups.setdefault(key, []).append(board)
    return [_summary(group) for group in groups.values() if len(group) > 1]


def _summary(boards: Sequence[Board]) -> Summary:
    heads, measures = _heads(boards)
    rows: dict[str, dict[int, Row]] = {}
    for number_of_board, board in enumerate(boards):
        for row in board.rows:
            rows.setdefault(_identity(row), {})[number_of_board] = row
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
    """Return the fullest name that the boards give each row, with what differs if rows would have the same name."""
    names = [max((row.name for row in found), key=len) for found in rows]
    alike: dict[str, list[dict[str, str]]] = {}
    times = Counter(names)
    facts = [_facts(found[0]) if times[name] > 1 else {} for name, found in zip(names, rows, strict=True)]
    for name, of_row in zip(names, facts, strict=True):
        alike.setdefault(name, []).append(of_row)
    return [printable(name + _differing(of_row, alike[name])) for name, of_row in zip(names, facts, strict=True)]


def _differing(facts: Mapping[str, str], alike: Sequence[Mapping[str, str]]) -> str:
    """Return the facts of a row in which rows of the same name differ, in brackets; nothing if there are none."""
    found = [text for name, text in facts.items() if text and len({each.get(name) for each in alike}) > 1]
    return f" ({', '.join(found)})" if found else ""


def _facts(row: Row) -> dict[str, str]:
    """Return all in which rows can differ, in words."""
    named = {
        **row.settings,
        "distribution": row.distribution,
        "version": short_version(row.version),
        "content": (row.content or "")[:8],
    }
    engine = {name: value for name, value in training(row).items() if name not in (row.budget or {})}
    settings = {name: f"{name}={show(value)}" for name, value in {**named, **engine}.items()}
    return {**settings, "budget": in_words(row.budget) if row.budget else ""}


def _heads(boards: Sequence[Board]) -> tuple[list[str], list[str]]:
    """Return the head of each board, and what distinguishes boards whose heads would be the same."""
    plain = [metric_name(board) for board in boards]
    letters = {name: iter(ascii_lowercase) for name, times in Counter(plain).items() if times > 1}
    heads, lines = [], []
    for name, board in zip(plain, boards, strict=True):
        letter = next(letters[name], "") if name in letters else ""
        named = " ".join(filter(None, [name, letter]))
        heads.append(printable(value_head(board, named)))
        facts = "; ".join(filter(None, [board.measure, board.machine, board.engine_label]))
        if letter and facts:
            lines.append(printable(f"{named}: {facts}."))
    return heads, lines


def _identity(row: Row) -> str:
    """Return what identifies a row on all boards."""
    model = [row.model, row.distribution, row.version, row.settings, row.content]
    return _key([*model, row.budget, row.engine])


def _entry(row: Row | None, names_best: bool) -> Entry:
    if row is None:
        return Entry("")
    if row.value is None:
        return Entry(row.status)
    return Entry(value_in_words(row), names_best and row.rank_low == 1, row.reason is not None)


def _key(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=dict)
