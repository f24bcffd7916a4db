"""Boards for programs: one flat list of rows, in JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import StringIO
from typing import Any

from harness.contracts.boards import Board, Row

_formula_starts = tuple("=+-@＝＋－＠")  # full-width ones too: spreadsheets in East Asian languages take them


def rows(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return every row of every board as JSON values; ``value`` is null if there is none."""
    return [_row(number, board, row) for number, board in enumerate(boards) for row in board.rows]


def render_json(boards: Sequence[Board]) -> str:
    """Write the rows as one JSON list."""
    return json.dumps(rows(boards), indent=1, ensure_ascii=False)


def render_csv(boards: Sequence[Board]) -> str:
    """Write the rows as CSV; nested values are written as JSON.

    Text that starts with one of ``= + - @`` gets an apostrophe in front, since a spreadsheet would take it for a
    formula. JSON has the text as it is.
    """
    file = StringIO()
    listed = rows(boards)
    writer = csv.DictWriter(file, fieldnames=list(listed[0]) if listed else ["dataset"], lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({name: _in_csv(each) for name, each in row.items()})
    return file.getvalue().removesuffix("\n")


def _in_csv(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(_formula_starts):
        return f"'{value}"
    return json.dumps(value) if isinstance(value, dict | list) else value


def _row(number: int, board: Board, row: Row) -> dict[str, Any]:
    return {
        "board": number,
        "dataset": board.dataset,
        "dataset_settings": dict(board.dataset_settings),
        "model": row.model,
        "title": row.title,
        "settings": dict(row.settings),
        "metric": board.metric,
        "metric_settings": dict(board.metric_settings),
        "value": row.value,
        "stderr": row.stderr,
        "n": row.n,
        "seeds": row.seeds,
        "spread": row.spread,
        "by_seed": {str(seed): value for seed, value in row.by_seed.items()},
        "parts": dict(row.parts),
        "unit": board.unit,
        "direction": board.direction,
        "measure": board.measure,
        "rank": row.rank,
        "rank_low": row.rank_low,
        "rank_high": row.rank_high,
        "no_rank": row.no_rank,
        "status": row.status,
        "reason": row.reason,
        "split": board.split,
        "budget": dict(row.budget) if row.budget else None,
        "engine": dict(row.engine),
        "machine": board.machine,
        "diagnostics": {**dict(row.diagnostics), **_typed(row)},
    }


def _typed(row: Row) -> dict[str, Any]:
    """Return the typed fields of an estimate that has them; records of schema 1 have them among the diagnostics."""
    found = {
        "warning": ("marked", row.warning),
        "biased_in_favour": ("flattering", row.biased_in_favour or None),
        "threads": ("threads", row.threads),
        "estimator_stderr": ("estimator_stderr", row.estimator_stderr),
        "effective_sample_size": ("effective_sample_size_median", row.effective_sample_size),
        "degrees_of_freedom": ("degrees_of_freedom", row.degrees_of_freedom),
    }
    return {
        name: value for name, (before, value) in found.items() if value is not None and before not in row.diagnostics
    }
