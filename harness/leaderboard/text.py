"""The text of boards: titles, column heads, cells and captions, the same in every format that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.contracts.boards import Board, Row
from harness.planning.budget import in_words
from harness.settings import show

_many = 5  # names; more are counted
_most_decimals = 8
_too_small, _too_large = 1e-4, 1e15  # for numbers without a power of ten; floats have 15 digits


def title(board: Board) -> str:
    """Name a board: the data set and the metric with what is not at its default, and how it was measured."""
    return printable(f"{dataset_name(board)} · {measurement(board)}")


def measurement(board: Board) -> str:
    """Name what a board has of its data set: the metric with what is not at its default, and how it was measured."""
    return " · ".join(filter(None, [metric_name(board), *evaluation(board), board.engine_label]))


def subject(board: Board) -> str:
    """Name what boards of several metrics have in common: the data set, and how they were evaluated."""
    return printable(" · ".join([dataset_name(board), *evaluation(board)]))


def evaluation(board: Board) -> list[str]:
    """Say how a board was evaluated, if not as usual: the split and the evaluation seed."""
    split = [] if board.split == "test" else [f"{board.split} split"]
    return split + ([f"evaluation seed {board.evaluation_seed}"] if board.evaluation_seed else [])


def dataset_name(board: Board) -> str:
    """Name the data set with what is not at its default."""
    return " ".join(filter(None, [board.dataset, board.dataset_label]))


def metric_name(board: Board) -> str:
    """Name the metric with what is not at its default."""
    return " ".join(filter(None, [board.metric, board.metric_label]))


def columns(board: Board) -> list[str]:
    """Return the column heads of a board."""
    heads = ["rank", "model", value_head(board, board.metric)] + ["std. error"] * _has_errors(board)
    if _has_spread(board):
        heads += ["seeds", "spread"]
    heads += board.part_names
    return [printable(head) for head in heads + ["note"] * _has_notes(board)]


def value_head(board: Board, name: str) -> str:
    """Return a name with the unit of a board's values, and an arrow to the better ones."""
    unit = f" ({board.unit})" if board.unit else ""
    arrow = {"higher": " ↑", "lower": " ↓"}.get(board.direction or "", "")
    return f"{name}{unit}{arrow}"


def cells(board: Board) -> list[list[str]]:
    """Return the rows as text, one entry a column."""
    errors, spread, notes, parts = _has_errors(board), _has_spread(board), _has_notes(board), board.part_names
    found = []
    for row in board.rows:
        digits = decimals(row.value or 0.0, row.stderr)
        texts = [rank_range(row), row.name, row.status if row.value is None else number(row.value, digits)]
        texts += [number(row.stderr, digits)] * errors
        if spread:
            texts += [str(row.seeds) if row.seeds else "", spread_in_words(row)]
        texts += [part_in_words(row, name) for name in parts]
        found.append([printable(text) for text in texts + [row.reason or ""] * notes])
    return found


def value_in_words(row: Row, *, over_seeds: bool = True) -> str:
    """Write the value of a row with its standard error; the status if it has no value.

    The error is over examples and, unless the spread over seeds stands beside it, over seeds.
    """
    if row.value is None:
        return row.status
    stderr = row.stderr_over_all if over_seeds else row.stderr
    digits = decimals(row.value, stderr)
    return number(row.value, digits) + (f" ± {number(stderr, digits)}" if stderr else "")


def unbroken(text: str) -> str:
    """Return text of which no line ends next to ±."""
    return text.replace(" ± ", "\u00a0±\u00a0")


def spread_in_words(row: Row) -> str:
    """Write the spread over seeds, with as many decimals as the value; nothing if there is none."""
    return number(row.spread, decimals(row.value or 0.0, row.stderr))


def part_in_words(row: Row, name: str) -> str:
    """Write a part of a value, with as many decimals as the value unless it has a unit of its own."""
    part = row.parts.get(name)
    if part is None or name.endswith(")"):
        return number(part, decimals(part or 0.0))
    return number(part, decimals(row.value or 0.0, row.stderr))


def printable(text: str) -> str:
    """Return text as one line without control characters, which a format or a terminal could act on."""
    if not text.isprintable():
        text = "".join(each if each.isprintable() else " " for each in text)
    return " ".join(text.split())


def rank_range(row: Row) -> str:
    """Return the ranks that a row may have, such as ``2–4``."""
    if row.rank_low is None:
        return "–"
    return str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"


def captions(board: Board, *, over_seeds: bool = False) -> list[str]:
    """Return what a reader must know to understand the values.

    Args:
        board: with any rows.
        over_seeds: whether the error beside each value is over seeds too, as in ``value_in_words``.
    """
    valued = [row for row in board.rows if row.value is not None]
    lines = []
    if board.measure:
        lines.append(f"Measure: {board.measure}.")
    if board.machine:
        devices = sorted({row.engine["device"] for row in board.rows})
        threads = sorted({row.threads for row in valued if row.threads is not None})
        with_threads = f"; threads {', '.join(map(str, threads))}" if threads else ""
        lines.append(f"Machine: {board.machine}; device {', '.join(devices)}{with_threads}.")
    settings = ", ".join(f"{name}={show(value)}" for name, value in board.metric_settings.items())
    counted = " and ".join(dict.fromkeys(row.counted for row in valued if row.stderr))
    sizes = sorted({row.n for row in valued if row.n is not None and row.stderr})
    over = f"n = {', '.join(f'{n:,}' for n in sizes)} {counted}" if sizes else ""
    facts = [over, settings, _budget(board)]
    lines.append("; ".join(filter(None, facts)) + "." if any(facts) else "")
    if board.bound:
        lines.append(f"The values are {board.bound} bounds; errors leave out how loose they are.")
    ranked = [row for row in valued if row.rank is not None]
    if len(ranked) > 1 and any(row.stderr != 0 or row.spread for row in ranked):
        lines.append(_of_ranks(board, ranked))
    lines += _without_rank(valued)
    if board.is_led_without_rank and any(row.rank is not None for row in valued):
        lines.append("No row is called the best, since one without a rank has a better value.")
    if _has_spread(board):
        differ = over_seeds and any(row.spread for row in valued)
        over = ", and over ".join(filter(None, [counted, "seeds" * differ]))
        errors = f"Std. error is over {over}, spread" if over else "Spread"
        lines.append(f"{errors} is the standard deviation over seeds.")
    return [printable(line) for line in [*lines, *board.notes, board.limits] if line]


def _of_ranks(board: Board, ranked: Sequence[Row]) -> str:
    """Return how rows were ranked, and what the ranks do not take into account."""
    lines = ["Ranks: the range of ranks that simultaneous 95% intervals of all differences allow."]
    unknown = [row for row in ranked if row.stderr is None]
    if unknown:
        of_some = " of some rows" if len(unknown) < len(ranked) else ""
        lines.append(f"The error{of_some} over test examples is not known and not included.")
    if board.machine:
        lines.append("Ranked rows were timed in turn, each time in a fresh process.")
    return " ".join(lines)


def _without_rank(valued: Sequence[Row]) -> list[str]:
    """Return why rows with a value have no rank, one line for each reason."""
    reasons: dict[str, list[str]] = {}
    for row in valued:
        if row.no_rank is not None:
            reasons.setdefault(row.no_rank, []).append(row.name)
    return [
        f"No ranks: {reason}." if len(names) == len(valued) else f"No rank for {_listed(names)}: {reason}."
        for reason, names in reasons.items()
    ]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= _many else f"{len(names)} rows"


def number(value: float | None, digits: int) -> str:
    """Format a number with ``digits`` decimals; None becomes an empty string.

    Very small and very large numbers are written as 4.24e−12, with the same digits.
    """
    if value is None:
        return ""
    size = abs(value)
    if size >= _too_large or (digits > _most_decimals and 0 < size < _too_small):
        exponent = math.floor(math.log10(size))
        mantissa, _, power = f"{value:.{min(_most_decimals, max(0, digits + exponent))}e}".partition("e")
        return f"{mantissa}e{int(power)}".replace("-", "−")
    text = f"{value:,.{digits if 0 <= digits <= _most_decimals else _most_decimals * (digits > 0)}f}"
    return text if value > 0 else text.replace("-", "−" if text.strip("-0.") else "")


def decimals(value: float, stderr: float | None = None) -> int:
    """Return the number of decimals to show: two digits of the standard error or, without one, four of the value.

    A whole number without a standard error is a count, with no decimals. If negative, digits before the point need not
    be shown.
    """
    if stderr:
        return 1 - math.floor(math.log10(stderr))
    is_count = value == int(value) and abs(value) < _too_large
    return 0 if is_count else 3 - math.floor(math.log10(abs(value)))


def _budget(board: Board) -> str:
    budgets = [row.budget for row in board.rows if row.budget]
    first = budgets[0] if budgets else {}
    return in_words({name: value for name, value in first.items() if all(each.get(name) == value for each in budgets)})


def _has_spread(board: Board) -> bool:
    return any(row.seeds > 1 for row in board.rows)


def _has_errors(board: Board) -> bool:
    return any(row.stderr for row in board.rows) or all(row.value is None for row in board.rows)


def _has_notes(board: Board) -> bool:
    return any(row.reason for row in board.rows)
