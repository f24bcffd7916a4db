"""Boards for programs: one flat list of rows, in JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
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
    writer.writerow(["board", *_fields])
    for row in _rows(boards):
        writer.writerow(map(_in_csv, row.values()))
    return file.getvalue().removesuffix("\n")


def _rows(boards: Sequence[Board]) -> Iterator[dict[str, Any]]:
    """Yield every row of every board as JSON values; ``value`` is null if there is none."""
    for number, board in enumerate(boards):
        for row in board.rows:
            yield {"board": number, **{name: value(board, row) for name, value in _fields.items()}}


def _in_csv(value: Any) -> Any:
    if isinstance(value, str) and value.lstrip().startswith(_formula_starts):
        return f"'{value}"
    return json.dumps(value) if isinstance(value, dict | list) else value


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


# Of a row, after the number of its board. Those after the diagnostics distinguish boards of the same names, and rows of
# the same model and settings.
_fields: dict[str, Callable[[Board, Row], Any]] = {
    "dataset": lambda board, row: board.dataset,
    "dataset_settings": lambda board, row: dict(board.dataset_settings),
    "model": lambda board, row: row.model,
    "title": lambda board, row: row.title,
    "settings": lambda board, row: dict(row.settings),
    "metric": lambda board, row: board.metric,
    "metric_settings": lambda board, row: dict(board.metric_settings),
    "value": lambda board, row: row.value,
    "stderr": lambda board, row: row.stderr,
    "n": lambda board, row: row.n,
    "seeds": lambda board, row: row.seeds,
    "spread": lambda board, row: row.spread,
    "by_seed": lambda board, row: {str(seed): value for seed, value in row.by_seed.items()},
    "parts": lambda board, row: dict(row.parts),
    "unit": lambda board, row: board.unit,
    "direction": lambda board, row: board.direction,
    "measure": lambda board, row: board.measure,
    "rank": lambda board, row: row.rank,
    "rank_low": lambda board, row: row.rank_low,
    "rank_high": lambda board, row: row.rank_high,
    "no_rank": lambda board, row: row.no_rank,
    "status": lambda board, row: row.status,
    "reason": lambda board, row: row.reason,
    "split": lambda board, row: board.split,
    "budget": lambda board, row: dict(row.budget) if row.budget else None,
    "engine": lambda board, row: dict(row.engine),
    "machine": lambda board, row: board.machine,
    "diagnostics": lambda board, row: {**dict(row.diagnostics), **_typed(row)},
    "label": lambda board, row: row.label,
    "distribution": lambda board, row: row.distribution,
    "version": lambda board, row: row.version,
    "content": lambda board, row: row.content,
    "fit_key": lambda board, row: row.fit_key,
    "dataset_label": lambda board, row: board.dataset_label,
    "dataset_distribution": lambda board, row: board.dataset_distribution,
    "dataset_version": lambda board, row: board.dataset_version,
    "dataset_content": lambda board, row: board.dataset_content,
    "metric_label": lambda board, row: board.metric_label,
    "metric_distribution": lambda board, row: board.metric_distribution,
    "metric_version": lambda board, row: board.metric_version,
    "evaluation_seed": lambda board, row: board.evaluation_seed,
    "engine_label": lambda board, row: board.engine_label,
}
