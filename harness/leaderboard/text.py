"""How figures and boards are put into words, the same in every format that people read."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
    heads = ["rank", "model", f"{board.metric}{unit}{arrow}", "std. error"]
    if _has_spread(board):
        heads += ["seeds", "spread"]
    heads += board.part_names
    return heads + ["note"] * _has_notes(board)


def cells(board: Board, row: Row) -> list[str]:
    """Return a row as text, one entry a column."""
    digits = decimals(row)
    texts = [
        "–" if row.rank is None else str(row.rank),
        " ".join(filter(None, [row.model, row.label])),
        row.status if row.value is None else number(row.value, digits),
        number(row.stderr, digits),
    ]
    if _has_spread(board):
        texts += [str(row.seeds) if row.seeds else "", number(row.spread, digits)]
    texts += [number(row.parts.get(name), digits) for name in board.part_names]
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
    counted = sorted({row.n for row in valued if row.n is not None})
    over = f"n = {', '.join(f'{n:,}' for n in counted)}" if counted else ""
    what = "repeats" if board.machine else f"{board.split} examples"
    facts = [f"{over} {what}" if over else "", settings, _budget(board)]
    lines.append("; ".join(filter(None, facts)) + "." if any(facts) else "")
    if len(valued) > 1:
        ties = "rows that a paired 95% interval cannot tell apart share a rank"
        alone = any(row.seeds == 1 for row in valued)
        lines.append(f"Ranks: {ties}." + (" One seed: ranks compare these fits, not the methods." if alone else ""))
    if _has_spread(board):
        lines.append("Std. error is over test examples, spread is the standard deviation over seeds.")
    return [line for line in lines if line]


def number(value: float | None, digits: int) -> str:
    """Write a number with so many decimals; nothing for None."""
    return "" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def decimals(row: Row) -> int:
    """Return the decimals worth showing: two significant digits of the standard error, or four of the value."""
    if row.stderr:
        return min(8, max(0, 1 - math.floor(math.log10(row.stderr))))
    if row.value:
        return min(8, max(0, 3 - math.floor(math.log10(abs(row.value)))))
    return 2


def _budget(board: Board) -> str:
    budgets: Sequence[dict[str, int]] = [dict(row.budget) for row in board.rows if row.budget]
    if not budgets or any(budget != budgets[0] for budget in budgets):
        return ""
    return f"{budgets[0]['epochs']} epochs, batch size {budgets[0]['batch_size']}"


def _has_spread(board: Board) -> bool:
    return any(row.seeds > 1 for row in board.rows)


def _has_notes(board: Board) -> bool:
    return any(row.reason for row in board.rows)
