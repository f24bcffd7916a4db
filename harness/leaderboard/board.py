"""Groups records into boards whose rows may be compared, and ranks the rows.

Records share a board if they have the same data set and metric with the same settings, the same split, evaluation
seed, unit and measure. Timings must also have the same machine, device and number of threads, which may differ from
those of the fit.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from harness.contracts.boards import Board, Row
from harness.contracts.events import Record
from harness.errors import StoreError
from harness.results.comparison import Measured, ranks
from harness.results.store import Store
from harness.settings import show


def build_boards(records: Iterable[Record], store: Store) -> list[Board]:
    """Group and rank records, paired by the per-example values in the store."""
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
        # A record without a value has no measure and no threads: it is shown once, with other seeds of its model if
        # there are any, else below the largest board.
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
    """Return the threads of a timing: those that its metric states, or else those of its fit."""
    return (record.threads or record.engine["threads"]) if record.machine else None


def _board(records: Sequence[Record], store: Store) -> Board:
    first = next((record for record in records if record.status == "ok"), records[0])
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_row_of(record)].append(record)
    differing = _differing_settings(records)
    unreadable: list[str] = []
    rows = [_row(group, differing, store, unreadable) for group in groups.values()]
    notes = (
        [f"Not paired, since per-example values cannot be read: {', '.join(unreadable)}."]
        if unreadable and len(rows) > 1
        else []
    )
    return Board(
        dataset=first.dataset["name"],
        dataset_settings=first.dataset["settings"],
        dataset_label=_label(first.dataset["settings"], first.dataset["changed"]),
        metric=first.metric["name"],
        metric_settings=first.metric["settings"],
        metric_label=_label(first.metric["settings"], first.metric["changed"]),
        split=first.split,
        evaluation_seed=first.evaluation_seed,
        unit=first.unit,
        direction=first.direction,
        measure=first.measure,
        machine=first.machine,
        rows=tuple(_ranked(rows, first.direction)),
        notes=tuple(notes),
        limits=next((record.limits for record in records if record.limits), None),
    )


def _row_of(record: Record) -> str:
    """Return what the records of one row have in common; they differ in their seeds."""
    model = record.model
    identity = [model["name"], model["distribution"], model["version"], model["settings"]]
    return _key([identity, record.budget, record.engine])


def _row(
    records: Sequence[Record], differing: Mapping[str, set[str]], store: Store, unreadable: list[str]
) -> tuple[Row, Measured | None]:
    """Return a row with what its rank depends on; values that cannot be read are added to ``unreadable``."""
    with_value = [record for record in records if record.status == "ok"]
    others = [record for record in records if record.status != "ok"]
    first = min(with_value or others, key=lambda record: record.seed)
    model = first.model
    shown = [name for name in model["settings"] if name in {*model["changed"], *differing[model["name"]]}]
    part_names = dict.fromkeys(name for record in with_value for name in record.parts)
    label = " ".join(filter(None, [_label(model["settings"], shown), _differences(first, differing)]))
    measured, seeds = _measured(with_value, store) if with_value else (None, [])
    unreadable += [" ".join(filter(None, [model["name"], label, f"(seed {seed})"])) for seed in seeds]
    row = Row(
        model=model["name"],
        settings=model["settings"],
        label=label,
        budget=first.budget,
        engine=first.engine,
        status="ok" if with_value else first.status,
        reason=_reason(with_value, others),
        value=measured.value if measured else None,
        stderr=measured.stderr if measured else None,
        spread=measured.spread if measured else None,
        by_seed=measured.by_seed if measured else {},
        is_paired=measured is not None and measured.values is not None,
        n=first.n,
        counted=first.counted or ("repeats" if first.machine else "test examples"),
        biased_in_favour=any(record.biased_in_favour for record in with_value),
        parts={name: mean for name in part_names if (mean := _mean_part(with_value, name)) is not None},
        diagnostics=first.diagnostics,
        threads=first.threads,
        warning=first.warning,
        estimator_stderr=first.estimator_stderr,
        effective_sample_size=first.effective_sample_size,
        degrees_of_freedom=first.degrees_of_freedom,
        fit_key=first.fit_key,
    )
    return row, measured


def _mean_part(records: Sequence[Record], name: str) -> float | None:
    """Return the mean over seeds of a part, without the seeds for which it was not finite."""
    known = [part for record in records if (part := record.parts.get(name)) is not None]
    return fmean(known) if known else None


def _measured(records: Sequence[Record], store: Store) -> tuple[Measured, list[int]]:
    """Return the values of a row over its seeds, and the seeds whose per-example values cannot be read."""
    by_seed = {record.seed: record.value for record in records if record.value is not None}
    stderrs = tuple(record.stderr for record in records if record.stderr is not None)
    freedoms = [record.degrees_of_freedom for record in records if record.degrees_of_freedom is not None]
    unpaired = Measured(by_seed, stderrs, min(freedoms, default=None))
    known = []
    for record in records:
        try:
            found = store.values(record.cell_key)
        except StoreError:
            return unpaired, [record.seed]
        if found is None:
            return unpaired, []
        known.append(found)
    ids = known[0].ids
    if any(len(each.ids) != len(ids) or (each.ids != ids).any() for each in known):
        return unpaired, []
    values = sum((each.values for each in known[1:]), start=known[0].values) / len(known)
    return replace(unpaired, ids=ids, values=values), []


def _reason(measured: Sequence[Record], others: Sequence[Record]) -> str | None:
    if not measured:
        return others[0].reason
    reasons = []
    if others:
        reasons.append(f"without seed {_seeds(others)}: {others[0].status}, {others[0].reason}")
    warned: dict[str, list[Record]] = defaultdict(list)
    for record in measured:
        if record.warning is not None:
            warned[record.warning].append(record)
    for warning, those in warned.items():
        reasons.append(warning if len(those) == len(measured) else f"seed {_seeds(those)}: {warning}")
    return "; ".join(reasons) or None


def _seeds(records: Sequence[Record]) -> str:
    return ", ".join(str(record.seed) for record in records)


def _ranked(rows: Sequence[tuple[Row, Measured | None]], direction: str | None) -> list[Row]:
    """Rank the rows that have a value and are not biased in favour of their model; the rest follows without ranks."""
    valued = [(row, measured) for row, measured in rows if measured is not None]
    without_value = sorted((row for row, measured in rows if measured is None), key=lambda row: (row.model, row.label))
    if direction is None:
        return [*(row for row, _ in valued), *without_value]
    valued.sort(key=lambda each: each[1].value, reverse=direction == "higher")
    fair = [each for each in valued if not each[0].biased_in_favour]
    places = ranks([measured for _, measured in fair], direction)
    ranked = [replace(row, rank=rank) for (row, _), rank in zip(fair, places, strict=True)]
    ranked.sort(key=lambda row: row.rank or 0)
    return [*ranked, *(row for row, _ in valued if row.biased_in_favour), *without_value]


def _differing_settings(records: Sequence[Record]) -> dict[str, set[str]]:
    """Return the settings in which the rows of each model differ; under "", those of budgets and engines."""
    differing: dict[str, set[str]] = defaultdict(set)
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for name, value in record.model["settings"].items():
            seen[record.model["name"], name].add(_key(value))
        for name, value in _training(record).items():
            seen["", name].add(_key(value))
        seen[record.model["name"], "version"].add(record.model["version"])
    for (model, name), values in seen.items():
        if len(values) > 1:
            differing[model].add(name)
    return differing


def _training(record: Record) -> dict[str, Any]:
    """Return the budget and the engine of a fit; records call the step mode ``execution``, unless it is eager."""
    engine = dict(record.engine)
    return {**(record.budget or {}), "step_mode": engine.pop("execution", "eager"), **engine}


def _differences(record: Record, differing: Mapping[str, set[str]]) -> str:
    training = _training(record)
    label = _label(training, [name for name in training if name in differing.get("", ())])
    if "version" in differing.get(record.model["name"], ()):
        label += f" version={record.model['version']}"
    return label.strip()


def _label(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    return " ".join(f"{name}={show(settings[name])}" for name in names)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
