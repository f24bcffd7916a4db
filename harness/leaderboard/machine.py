"""Boards for programs: one flat list of rows, in JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from io import StringIO
from typing import Any

from harness.contracts.boards import Board, Row

_formula_starts = tuple("=+-@＝＋－＠")  # full-width ones too: spreadsheets in East Asian languages take them


def render_json(boards: Sequence[Board]) -> str:
    """Write the rows as one JSON list."""
    file = StringIO()
    for row in _rows(boards):  # one at a time, since the encoder keeps every number as a text until it is done
        file.write(",\n" if file.tell() else "[\n")
        file.write(json.dumps([row], indent=1, ensure_ascii=False)[2:-2])
    file.write("\n]" if file.tell() else "[]")
    return file.getvalue()


def render_csv(boards: Sequence[Board]) -> str:
    """Write the rows as CSV; nested values are written as JSON.

    Text that starts with one of ``= + - @`` gets an apostrophe in front, since a spreadsheet would take it for a
    formula. JSON has the text as it is.
    """
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    for number, row in enumerate(_rows(boards)):
        if not number:
            writer.writerow(row)
        writer.writerow(map(_in_csv, row.values()))
    return file.getvalue().removesuffix("\n") or "dataset"


def _rows(boards: Sequence[Board]) -> Iterator[dict[str, Any]]:
    """Yield every row of every board as JSON values; ``value`` is null if there is none."""
    return (_row(number, board, row) for number, board in enumerate(boards) for row in board.rows)


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
        **_distinguishing(board, row),
    }


def _distinguishing(board: Board, row: Row) -> dict[str, Any]:
    """Return what distinguishes boards of the same names, and rows of the same model and settings."""
    return {
        "label": row.label,
        "distribution": row.distribution,
        "version": row.version,
        "content": row.content,
        "fit_key": row.fit_key,
        "dataset_label": board.dataset_label,
        "dataset_distribution": board.dataset_distribution,
        "dataset_version": board.dataset_version,
        "dataset_content": board.dataset_content,
        "metric_label": board.metric_label,
        "metric_distribution": board.metric_distribution,
        "metric_version": board.metric_version,
        "evaluation_seed": board.evaluation_seed,
        "engine_label": board.engine_label,
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
