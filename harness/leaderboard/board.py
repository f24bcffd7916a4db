"""Groups records into boards whose rows may be compared, and ranks the rows.

Records share a board when they have the data set and its settings, the split, the metric and its settings, the unit
and the measure in common; timings also the machine, the device and the threads they were taken with, which need not
be those of the fit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from harness.settings import show
from harness.statistics import Measured, ranks
from harness.store import Record, Store


@dataclass(frozen=True)
class Row:
    """One model with its settings, over its seeds.

    ``settings`` holds all of the model's settings, ``label`` those worth showing: the ones that were changed, or
    that tell rows of this board apart. ``value`` is the mean over the seeds that have one; ``stderr`` the standard
    error over examples; ``spread`` the standard deviation over seeds; ``fit_key`` the fit of the first seed that has a
    value. ``reason`` says why there is no value, or why the value is to be trusted less; where that ``flatters`` the
    model, there is no rank. ``counted`` is what ``n`` counts.
    """

    model: str
    settings: Mapping[str, Any]
    label: str
    budget: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    status: str
    reason: str | None
    measured: Measured | None
    n: int | None
    counted: str
    flatters: bool
    parts: Mapping[str, float]
    diagnostics: Mapping[str, Any]
    fit_key: str
    rank: int | None = None

    @property
    def name(self) -> str:
        """The model with the settings worth showing."""
        return " ".join(filter(None, [self.model, self.label]))

    @property
    def value(self) -> float | None:
        """The mean over seeds, or None."""
        return self.measured.value if self.measured else None

    @property
    def stderr(self) -> float | None:
        """The standard error over test examples, or None."""
        return self.measured.stderr if self.measured else None

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds, or None for fewer than two."""
        return self.measured.spread if self.measured else None

    @property
    def seeds(self) -> int:
        """How many seeds have a value."""
        return len(self.measured.by_seed) if self.measured else 0


@dataclass(frozen=True)
class Board:
    """Rows that may be compared, best first; those without a value last."""

    dataset: str
    dataset_settings: Mapping[str, Any]
    dataset_label: str
    metric: str
    metric_settings: Mapping[str, Any]
    metric_label: str
    split: str
    unit: str | None
    direction: str | None
    measure: str | None
    machine: str | None
    rows: tuple[Row, ...]

    @property
    def part_names(self) -> list[str]:
        """The names of the parts that any row has, in order."""
        return list(dict.fromkeys(name for row in self.rows for name in row.parts))


def build_boards(records: Iterable[Record], store: Store) -> list[Board]:
    """Group and rank records; per-example values for paired comparisons come from the store."""
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_key(_comparable(record))].append(record)
    boards = []
    for group in groups.values():
        by_measure: dict[str, list[Record]] = defaultdict(list)
        for record in group:
            if record.status == "ok":
                by_measure[_key([record.unit, record.measure, record.direction, _threads(record)])].append(record)
        families = sorted(by_measure.values(), key=len, reverse=True) or [[]]
        # What has no value has neither measure nor threads: it is shown once, with other seeds of its model or else
        # below the largest board.
        homes = {_row_of(record): family for family in reversed(families) for record in family}
        for record in group:
            if record.status != "ok":
                homes.get(_row_of(record), families[0]).append(record)
        boards += [_board(family, store) for family in families]
    return sorted(boards, key=lambda each: (each.dataset, each.dataset_label, each.metric, each.metric_label))


def _comparable(record: Record) -> list[Any]:
    engine = {name: value for name, value in record.engine.items() if name != "threads"}
    timing = [record.machine, engine] if record.machine else None
    named = [
        [each["name"], each["distribution"], each["version"], each["settings"]]
        for each in (record.dataset, record.metric)
    ]
    return [named, record.split, record.evaluation_seed, timing]


def _threads(record: Record) -> int | None:
    """Return how many threads a timing was taken with, as it says itself or else as its fit was made."""
    return record.diagnostics.get("threads", record.engine["threads"]) if record.machine else None


def _board(records: Sequence[Record], store: Store) -> Board:
    first = next((record for record in records if record.status == "ok"), records[0])
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_row_of(record)].append(record)
    telling = _telling_settings(records)
    rows = [_row(group, telling, store) for group in groups.values()]
    return Board(
        dataset=first.dataset["name"],
        dataset_settings=first.dataset["settings"],
        dataset_label=_label(first.dataset["settings"], first.dataset["changed"]),
        metric=first.metric["name"],
        metric_settings=first.metric["settings"],
        metric_label=_label(first.metric["settings"], first.metric["changed"]),
        split=first.split,
        unit=first.unit,
        direction=first.direction,
        measure=first.measure,
        machine=first.machine,
        rows=tuple(_ranked(rows, first.direction)),
    )


def _row_of(record: Record) -> str:
    """Return what the records of one row, which differ in the seed, have in common."""
    model = record.model
    identity = [model["name"], model["distribution"], model["version"], model["settings"]]
    return _key([identity, record.budget, record.engine])


def _row(records: Sequence[Record], telling: Mapping[str, set[str]], store: Store) -> Row:
    measured_records = [record for record in records if record.status == "ok"]
    others = [record for record in records if record.status != "ok"]
    first = min(measured_records or others, key=lambda record: record.seed)
    model = first.model
    shown = [name for name in model["settings"] if name in {*model["changed"], *telling[model["name"]]}]
    part_names = dict.fromkeys(name for record in measured_records for name in record.parts)
    return Row(
        model=model["name"],
        settings=model["settings"],
        label=" ".join(filter(None, [_label(model["settings"], shown), _circumstances(first, telling)])),
        budget=first.budget,
        engine=first.engine,
        status="ok" if measured_records else first.status,
        reason=_reason(measured_records, others),
        measured=_measured(measured_records, store) if measured_records else None,
        n=first.n,
        counted=first.counted or ("repeats" if first.machine else "test examples"),
        flatters=any(record.diagnostics.get("flattering") for record in measured_records),
        parts={name: mean for name in part_names if (mean := _mean_part(measured_records, name)) is not None},
        diagnostics=first.diagnostics,
        fit_key=first.fit_key,
    )


def _mean_part(records: Sequence[Record], name: str) -> float | None:
    """Return the mean over seeds of a part, of which records keep None where it was not finite."""
    known = [part for record in records if (part := record.parts.get(name)) is not None]
    return fmean(known) if known else None


def _measured(records: Sequence[Record], store: Store) -> Measured:
    by_seed = {record.seed: record.value for record in records if record.value is not None}
    stderrs = tuple(record.stderr for record in records if record.stderr is not None)
    found = [store.values(record.cell_key) for record in records]
    known = [each for each in found if each is not None]
    if len(known) < len(records) or any(len(ids) != len(known[0][0]) for ids, _ in known):
        return Measured(by_seed, stderrs)
    ids, first = known[0]
    if any((other != ids).any() for other, _ in known[1:]):
        return Measured(by_seed, stderrs)
    values = sum((values for _, values in known[1:]), start=first) / len(known)
    return Measured(by_seed, stderrs, ids, values)


def _reason(measured: Sequence[Record], others: Sequence[Record]) -> str | None:
    if not measured:
        return others[0].reason
    said = []
    if others:
        said.append(f"without seed {_seeds(others)}: {others[0].status}, {others[0].reason}")
    marks: dict[str, list[Record]] = defaultdict(list)
    for record in measured:
        if "marked" in record.diagnostics:
            marks[str(record.diagnostics["marked"])].append(record)
    for mark, marked in marks.items():
        said.append(mark if len(marked) == len(measured) else f"seed {_seeds(marked)}: {mark}")
    return "; ".join(said) or None


def _seeds(records: Sequence[Record]) -> str:
    return ", ".join(str(record.seed) for record in records)


def _ranked(rows: Sequence[Row], direction: str | None) -> list[Row]:
    valued = [row for row in rows if row.measured is not None]
    flattered: list[Row] = []
    if direction is not None:
        best_first = sorted(valued, key=lambda row: row.value or 0.0, reverse=direction == "higher")
        flattered = [row for row in best_first if row.flatters]
        best_first = [row for row in best_first if not row.flatters]
        places = ranks([row.measured for row in best_first if row.measured], direction)
        valued = [replace(row, rank=rank) for row, rank in zip(best_first, places, strict=True)]
        valued.sort(key=lambda row: row.rank or 0)
    rest = sorted((row for row in rows if row.measured is None), key=lambda row: (row.model, row.label))
    return [*valued, *flattered, *rest]


def _telling_settings(records: Sequence[Record]) -> dict[str, set[str]]:
    """Find, for each model, the settings in which its rows differ; under "" the circumstances that differ."""
    telling: dict[str, set[str]] = defaultdict(set)
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for name, value in record.model["settings"].items():
            seen[record.model["name"], name].add(_key(value))
        for name, value in _surroundings(record).items():
            seen["", name].add(_key(value))
        seen[record.model["name"], "version"].add(record.model["version"])
    for (model, name), values in seen.items():
        if len(values) > 1:
            telling[model].add(name)
    return telling


def _surroundings(record: Record) -> dict[str, Any]:
    """Return the budget and the engine of a fit, of which records leave out eager execution."""
    return {**(record.budget or {}), "execution": "eager", **record.engine}


def _circumstances(record: Record, telling: Mapping[str, set[str]]) -> str:
    differing = _surroundings(record)
    label = _label(differing, [name for name in differing if name in telling.get("", ())])
    if "version" in telling.get(record.model["name"], ()):
        label += f" version={record.model['version']}"
    return label.strip()


def _label(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    return " ".join(f"{name}={show(settings[name])}" for name in names)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
