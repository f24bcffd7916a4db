"""Results: records that show themselves as boards, in a notebook and at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.contracts.boards import Board
from harness.contracts.events import Record, failed
from harness.errors import UsageError
from harness.results.store import Store

if TYPE_CHECKING:
    import pandas

_fields = (
    "value", "stderr", "n", "unit", "direction", "measure", "status", "reason", "warning", "split", "evaluation_seed",
    "seconds", "fit_key", "cell_key",
)  # fmt: skip


@dataclass(frozen=True, repr=False)
class BoardTable(Board):
    """A board that shows itself: as a table of HTML in Jupyter, as text elsewhere."""

    def __repr__(self) -> str:
        from harness.leaderboard.terminal import render

        return render([self]).rstrip("\n")

    def _repr_html_(self) -> str:
        from harness.leaderboard.html import render

        return render([self])


class Results:
    """Records, in the order of the plan. Shows itself as boards.

    Args:
        records: the latest of each cell.
        store: has the per-example values of the records, on which comparisons are paired.
    """

    def __init__(self, records: Iterable[Record], store: Store) -> None:
        self.records = list(records)
        self._store = store

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: int) -> Record:
        return self.records[place]

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    @property
    def failed(self) -> list[Record]:
        """The records of what went wrong, each with its ``reason``: errors, lack of memory, divergence."""
        return [record for record in self.records if record.status in failed]

    @cached_property
    def boards(self) -> list[BoardTable]:
        """The boards of these records, with ranks."""
        from harness.leaderboard.board import build_boards
        from harness.results.curation import shown_records

        boards = build_boards(self.records, self._store, shown_records(self._store))
        return [BoardTable(**vars(board)) for board in boards]

    def to_dataframe(self) -> pandas.DataFrame:
        """Return one row for each record, as a pandas DataFrame.

        The columns are the data set, the model, the metric and the seed, then ``NAME.PARAM`` for each setting that
        differs from its default in any record, then the fields of ``Record``, such as ``value`` and ``stderr``.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ModuleNotFoundError:
            raise UsageError("to_dataframe() needs pandas; install it with: pip install pandas") from None
        changed = dict.fromkeys(
            (component["name"], name)
            for record in self.records
            for component in _components(record)
            for name in component["changed"]
        )
        return pandas.DataFrame(
            [_row(record, changed) for record in self.records],
            columns=["dataset", "model", "metric", "seed", *(".".join(each) for each in changed), *_fields],
        )

    def __repr__(self) -> str:
        from harness.leaderboard.terminal import render

        return render(self.boards).rstrip("\n") if self.records else "no results"

    def _repr_html_(self) -> str:
        from harness.leaderboard.html import render

        return render(self.boards) if self.records else "<p>no results</p>"


def _components(record: Record) -> tuple[Mapping[str, Any], ...]:
    return record.dataset, record.model, record.metric


def _row(record: Record, changed: Iterable[tuple[str, str]]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dataset": record.dataset["name"],
        "model": record.model["name"],
        "metric": record.metric["name"],
        "seed": record.seed,
    }
    for owner, setting in changed:
        found = next((each for each in _components(record) if each["name"] == owner), None)
        row[f"{owner}.{setting}"] = None if found is None else found["settings"][setting]
    return row | {name: getattr(record, name) for name in _fields}
