"""Explains the difference between two rows of a board: its intervals, what they rest on, and what would decide it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from harness.contracts.boards import Board, Row
from harness.errors import UsageError, unknown
from harness.leaderboard.text import decimals, number, title
from harness.results.comparison import Measured, compare

MeasuredBoard = tuple[Board, Sequence[Measured]]

_most_seeds = 1000


def explain(boards: Sequence[MeasuredBoard], a: str, b: str) -> list[dict[str, Any]]:
    """Explain the difference between two rows on every board that has both, as JSON values.

    Args:
        boards: with what their rows with a rank are compared by.
        a: the name of a row: that of its model, with its label if several rows are of the model.
        b: the name of another row.

    Raises:
        UsageError: a name is unknown or ambiguous, or boards of several data sets or metrics have both rows.
    """
    known = sorted({row.name for board, _ in boards for row in board.rows if row.value is not None})
    pairs = [(each, _named(each[0], a), _named(each[0], b)) for each in boards]
    for name, matches in ((a, [first for _, first, _ in pairs]), (b, [second for _, _, second in pairs])):
        several = next((rows for rows in matches if len(rows) > 1), None)
        if several:
            raise UsageError(f"{name!r} names several rows: {', '.join(repr(row.name) for row in several)}")
        if not any(matches):
            without = next((row for board, _ in boards for row in board.rows if name in (row.name, row.model)), None)
            if without is not None:
                reason = f": {without.reason}" if without.reason else ""
                raise UsageError(f"{name!r} has no value, but {without.status}{reason}. With one: {', '.join(known)}.")
            raise unknown("row", name, known)
    found = [(each, first[0], second[0]) for each, first, second in pairs if first and second]
    if a == b or any(first == second for _, first, second in found):
        raise UsageError(f"{a!r} and {b!r} are the same row; name two")
    if not found:
        raise UsageError(f"no board has both {a!r} and {b!r}")
    if len({(each.dataset, each.metric) for (each, _), _, _ in found}) > 1:
        titles = "; ".join(dict.fromkeys(title(each) for (each, _), _, _ in found))
        raise UsageError(f"several boards have both rows: {titles}. Choose a data set and a metric.")
    return [_explained(*each) for each in found]


def render_json(explanations: Sequence[dict[str, Any]]) -> str:
    """Write explanations as a JSON list."""
    return json.dumps(explanations, indent=1, ensure_ascii=False)


def render(explanations: Sequence[dict[str, Any]]) -> str:
    """Write explanations as text."""
    return "\n\n".join(_text(each) for each in explanations)


def _named(board: Board, name: str) -> list[Row]:
    """Return the rows with a value and this full name, or else those of the model with this name."""
    rows = [row for row in board.rows if row.value is not None]
    return [row for row in rows if row.name == name] or [row for row in rows if row.model == name]


def _explained(measured_board: MeasuredBoard, a: Row, b: Row) -> dict[str, Any]:
    board, measured = measured_board
    assert a.value is not None
    assert b.value is not None
    explanation: dict[str, Any] = {
        "board": title(board),
        "rows": [a.name, b.name],
        "difference": a.value - b.value,
        "unit": board.unit,
        "direction": board.direction,
        "no_rank": None,
    }
    if board.direction is None:
        return {**explanation, "no_rank": "neither higher nor lower values of this metric are better"}
    for row in (a, b):
        if row.no_rank:
            return {**explanation, "no_rank": f"{row.name} has no rank: {row.no_rank}"}
    ranked = [row for row in board.rows if row.rank is not None]
    i, j = ranked.index(a), ranked.index(b)
    comparison = compare(measured, places=[i, j])
    simultaneous, single = (float(comparison.margin(simultaneous=each)[0, 1]) for each in (True, False))
    difference = float(comparison.difference[0, 1])
    is_decided = abs(difference) > simultaneous
    pairing = measured[i].pairing if measured[i].pairing == measured[j].pairing else None
    return {
        **explanation,
        "is_decided": is_decided,
        "simultaneous_interval": [difference - simultaneous, difference + simultaneous],
        "single_interval": [difference - single, difference + single],
        "ranked_rows": len(ranked),
        "stderr_over_examples": math.sqrt(comparison.over_examples[0, 1]),
        "stderr_over_seeds": math.sqrt(comparison.over_seeds[0, 1]),
        "stderr_of_measurement": math.sqrt(comparison.of_measurement[0, 1]),
        "paired_on": f"{pairing[1]:,} {_kind[pairing[0]]}" if pairing else None,
        "seeds": [a.seeds, b.seeds],
        "seeds_needed": None if is_decided else _seeds_needed(measured, i, j),
    }


_kind = {"examples": "test examples", "groups": "groups of test examples"}


def _seeds_needed(measured: Sequence[Measured], i: int, j: int) -> int | None:
    """Return the least number of seeds that decides a difference of this size; None if none up to 1,000 does."""

    def decides(seeds: int) -> bool:
        comparison = compare(measured, seeds, [i, j])
        return bool(abs(comparison.difference[0, 1]) > comparison.margin()[0, 1])

    low, high = max(len(measured[i].by_seed), len(measured[j].by_seed)) - 1, _most_seeds
    if not decides(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def _text(given: dict[str, Any]) -> str:
    a, b = given["rows"]
    unit = f" {given['unit']}" if given["unit"] else ""
    if given["no_rank"]:
        shown = number(given["difference"], decimals(given["difference"] or 0.0))
        return f"{given['board']}\n{a} − {b} = {shown}{unit}\nNo interval: {given['no_rank']}."
    parts = {name: given[f"stderr_{name}"] for name in ("over_examples", "over_seeds", "of_measurement")}
    stderr = math.sqrt(sum(part**2 for part in parts.values()))
    digits = decimals(given["difference"] or 0.0, stderr)

    def interval(name: str) -> str:
        return " to ".join(number(end, digits) for end in given[f"{name}_interval"])

    paired = f"paired on {given['paired_on']}" if given["paired_on"] else "not paired"
    lines = [
        given["board"],
        f"{a} − {b} = {number(given['difference'], digits)}{unit}; {given['direction']} is better",
        f"  95% interval, this difference alone:  {interval('single')}",
        f"  95% interval, simultaneous for all {given['ranked_rows']} ranked rows:  {interval('simultaneous')}",
        f"  standard error:  {number(stderr, digits)}",
        f"    over test examples:  {number(parts['over_examples'], digits)}, {paired}",
        f"    over seeds:  {number(parts['over_seeds'], digits)}, from {' and '.join(map(str, given['seeds']))} seeds",
    ]
    if parts["of_measurement"]:
        lines.append(f"    of the measurement:  {number(parts['of_measurement'], digits)}")
    return "\n".join([*lines, _verdict(given, a, b)])


def _verdict(given: dict[str, Any], a: str, b: str) -> str:
    if given["is_decided"]:
        is_better = (given["difference"] > 0) is (given["direction"] == "higher")
        return f"{a if is_better else b} is better: the simultaneous interval excludes 0."
    undecided = "It is not decided which is better: the simultaneous interval contains 0."
    if given["seeds_needed"]:
        return f"{undecided} A difference of this size would be decided by {given['seeds_needed']} seeds of each model."
    if not given["stderr_over_seeds"]:
        return f"{undecided} More seeds would not decide it."
    return f"{undecided} Even {_most_seeds:,} seeds would not decide it: the rest of the error is too large."
