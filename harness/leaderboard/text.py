"""How figures and boards are put into words, the same in every format that people read."""

from __future__ import annotations

import math

from harness.budget import in_words
from harness.leaderboard.board import Board, Row
from harness.settings import show


def title(board: Board) -> str:
    """Name a board: the data set and the metric with the settings that were changed."""
    dataset = " ".join(filter(None, [board.dataset, board.dataset_label]))
    metric = " ".join(filter(None, [board.metric, board.metric_label]))
    return f"{dataset} · {metric}"


def columns(board: Board) -> list[str]:
    """Return the column heads of a board."""
    unit = f" ({board.unit})" if board.unit else ""
    arrow = {"higher": " ↑", "lower": " ↓"}.get(board.direction or "", "")
    heads = ["rank", "model", f"{board.metric}{unit}{arrow}"] + ["std. error"] * _has_errors(board)
    if _has_spread(board):
        heads += ["seeds", "spread"]
    heads += board.part_names
    return heads + ["note"] * _has_notes(board)


def cells(board: Board, row: Row) -> list[str]:
    """Return a row as text, one entry a column."""
    digits = decimals(row.value or 0.0, row.stderr)
    texts = [
        "–" if row.rank is None else str(row.rank),
        row.name,
        row.status if row.value is None else number(row.value, digits),
    ]
    texts += [number(row.stderr, digits)] * _has_errors(board)
    if _has_spread(board):
        texts += [str(row.seeds) if row.seeds else "", number(row.spread, digits)]
    texts += [_part(row, name, digits) for name in board.part_names]
    return texts + [row.reason or ""] * _has_notes(board)


def captions(board: Board) -> list[str]:
    """Say what a reader must know to read the figures right."""
    valued = [row for row in board.rows if row.value is not None]
    lines = []
    if board.measure:
        lines.append(f"Measure: {board.measure}.")
    if board.machine:
        devices = sorted({row.engine["device"] for row in board.rows})
        threads = sorted({row.diagnostics["threads"] for row in valued if "threads" in row.diagnostics})
        told = f"; threads {', '.join(map(str, threads))}" if threads else ""
        lines.append(f"Machine: {board.machine}; device {', '.join(devices)}{told}.")
    settings = ", ".join(f"{name}={show(value)}" for name, value in board.metric_settings.items())
    counted = sorted({row.n for row in valued if row.n is not None and row.stderr is not None})
    over = f"n = {', '.join(f'{n:,}' for n in counted)}" if counted else ""
    what = "repeats" if board.machine else f"{board.split} examples"
    facts = [f"{over} {what}" if over else "", settings, _budget(board)]
    lines.append("; ".join(filter(None, facts)) + "." if any(facts) else "")
    if board.direction and len(valued) > 1 and (_has_errors(board) or _has_spread(board)):
        paired = any(row.measured and row.measured.values is not None for row in valued)
        ties = f"rows that a {'paired ' * paired}95% interval cannot tell apart share a rank"
        alone = any(row.seeds == 1 for row in valued)
        lines.append(f"Ranks: {ties}." + (" One seed: ranks compare these fits, not the methods." if alone else ""))
    if _has_spread(board):
        errors = "repeats" if board.machine else "test examples"
        lines.append(f"Std. error is over {errors}, spread is the standard deviation over seeds.")
    return [line for line in lines if line]


def number(value: float | None, digits: int) -> str:
    """Write a number with so many decimals; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def decimals(value: float, stderr: float | None = None) -> int:
    """Return the decimals worth showing: two digits of the standard error or, without one, four of the value.

    A whole number without a standard error is a count and has none.
    """
    if stderr:
        return min(8, max(0, 1 - math.floor(math.log10(stderr))))
    return 0 if value == int(value) else min(8, max(0, 3 - math.floor(math.log10(abs(value)))))


def _part(row: Row, name: str, digits: int) -> str:
    """Write a part of a figure, with as many decimals as the figure where it is in the same unit."""
    part = row.parts.get(name)
    has_own_unit = name.endswith(")")
    return number(part, decimals(part) if part is not None and has_own_unit else digits)


def _budget(board: Board) -> str:
    budgets = [dict(row.budget) for row in board.rows if row.budget]
    if not budgets or any(budget != budgets[0] for budget in budgets):
        return ""
    return in_words(budgets[0])


def _has_spread(board: Board) -> bool:
    return any(row.seeds > 1 for row in board.rows)


def _has_errors(board: Board) -> bool:
    return any(row.stderr is not None for row in board.rows) or all(row.value is None for row in board.rows)


def _has_notes(board: Board) -> bool:
    return any(row.reason for row in board.rows)
