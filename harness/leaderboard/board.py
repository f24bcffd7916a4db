"""Groups records into boards whose rows may be compared, and ranks the rows.

Records share a board if they have the same data set and metric with the same settings, the same split, evaluation
seed, unit and measure. Timings must also have the same machine, device and number of threads, which may differ from
those of the fit. Boards, rows and their values do not depend on the order of the records.
"""

from __future__ import annotations

import json
import operator
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from harness.contracts.boards import Board, Row
from harness.contracts.events import Record, identity_of
from harness.errors import StoreError
from harness.leaderboard.contradictions import with_contradictions
from harness.results.comparison import (
    Measured,
    degrees_of_freedom_of,
    rank_ranges,
    root_mean_square,
    stderr_not_over_examples,
)
from harness.results.store import Store
from harness.settings import show

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

one_seed = "one seed; run with 3 seeds"  # why a row has no rank
_contradicted = "its value contradicts another one, so that one of them is wrong"
_long_digest = re.compile(r"(sha256:[0-9a-f]{8})[0-9a-f]+")
_alone = "no other row can be ranked, and one without a rank has a better value"


def build_boards(records: Iterable[Record], store: Store, among: Iterable[Record] = ()) -> list[Board]:
    """Group and rank records.

    Args:
        records: that the boards show.
        store: has their per-example values, by which they are paired.
        among: others that may contradict them, such as all records of the store if some were selected.
    """
    # What the rows of a board were compared by is dropped before those of the next one are read.
    return sorted(map(operator.itemgetter(0), _measured_boards(records, store, among)), key=_place)


def build_measured_boards(
    records: Iterable[Record], store: Store, among: Iterable[Record] = ()
) -> list[tuple[Board, list[Measured]]]:
    """Return boards as ``build_boards`` does, each with what its rows with a rank are compared by, in their order."""
    return sorted(_measured_boards(records, store, among), key=lambda each: _place(each[0]))


def _measured_boards(
    records: Iterable[Record], store: Store, among: Iterable[Record]
) -> Iterator[tuple[Board, list[Measured]]]:
    keys = _Keys()
    groups: dict[Hashable, list[Record]] = defaultdict(list)
    known = with_contradictions(records, store, among)
    differing = _differing_boards(known)
    for record in sorted(known, key=lambda each: (each.model["name"], each.seed, each.cell_key)):
        groups[keys.comparable(record)].append(record)
    for group in groups.values():
        by_measure: dict[Hashable, list[Record]] = defaultdict(list)
        for record in group:
            if record.status == "ok":
                by_measure[record.unit, record.measure, record.direction, _threads(record)].append(record)
        without_value = [record for record in group if record.status != "ok"]
        families = sorted(by_measure.values(), key=_by_size) or [[]]
        # A record without a value has no measure and no threads: it is shown once, with other seeds of its model if
        # there are any, else below the largest board.
        with_value = ((record, family) for family in reversed(families) for record in family)
        homes = {keys.row_of(record): family for record, family in with_value} if without_value else {}
        for record in without_value:
            homes.get(keys.row_of(record), families[0]).append(record)
        yield from (_board(family, store, keys, differing) for family in families)


class _Keys:
    """Keys of what records have in common. A component that many records share is written as text only once."""

    def __init__(self) -> None:
        self._texts: dict[tuple[int, str], str] = {}
        self._kept: dict[int, Any] = {}  # so that no other object gets the same id
        self._rows: dict[tuple[int, int, int], Hashable] = {}

    def comparable(self, record: Record) -> Hashable:
        """Return what records of one board, or of several that differ in their measure, have in common."""
        engine = self._of(record.engine, "without threads", _without_threads) if record.machine else None
        named = self._of(record.dataset, "identity", identity_of), self._of(record.metric, "identity", identity_of)
        return *named, record.split, record.evaluation_seed, record.machine, engine

    def row_of(self, record: Record) -> Hashable:
        """Return what the records of one row have in common; they differ in their seeds."""
        ids = id(record.model), id(record.budget), id(record.engine)
        found = self._rows.get(ids)
        if found is None:
            found = self._rows[ids] = self._of(record.model, "identity", identity_of), *self.training(record)
        return found

    def training(self, record: Record) -> tuple[str, str]:
        """Return the budget and the engine."""
        return self._of(record.budget, "all", _itself), self._of(record.engine, "all", _itself)

    def _of(self, value: Any, which: str, part: Callable[[Any], Any]) -> str:
        found = self._texts.get((id(value), which))
        if found is None:
            self._kept[id(value)] = value
            found = self._texts[id(value), which] = _key(part(value))
        return found


def _itself(value: Any) -> Any:
    return value


def _without_threads(engine: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in engine.items() if name != "threads"}


def _place(board: Board) -> tuple[Any, ...]:
    names = board.dataset, board.dataset_label, board.metric, board.metric_label
    return *names, board.split, board.evaluation_seed, board.machine or "", board.engine_label


def _by_size(records: Sequence[Record]) -> tuple[int, str]:
    """Return what boards that share records without a value are sorted by: the largest first, or else the oldest."""
    return -len(records), min(record.ended or "" for record in records)


def _threads(record: Record) -> int | None:
    """Return the threads of a timing: those that its metric states, or else those of its fit."""
    return (record.threads or record.engine["threads"]) if record.machine else None


def _engine_of_timing(record: Record) -> dict[str, Any]:
    """Return the engine of a timing, with the threads that it was taken with."""
    engine = dict(record.engine)
    return {"step_mode": engine.pop("execution", "eager"), **engine, "threads": _threads(record)}


def _differing_boards(records: Iterable[Record]) -> dict[tuple[str, ...], set[str]]:
    """Return in what boards differ whose names are the same.

    By the name of the data set; by those of the data set and the metric; and for timings, by these and the machine.
    """
    seen: dict[tuple[tuple[str, ...], str], set[str]] = defaultdict(set)
    for record in {
        (id(each.dataset), id(each.metric), id(each.engine), each.status == "ok", each.machine, _threads(each)): each
        for each in records
    }.values():
        of_dataset = (record.dataset["name"],)
        of_metric = (*of_dataset, record.metric["name"])
        for name in ("distribution", "version"):
            seen[of_dataset, name].add(record.dataset[name])
            seen[of_metric, name].add(record.metric[name])
        if record.machine and record.status == "ok":
            for name, value in _engine_of_timing(record).items():
                seen[(*of_metric, record.machine), name].add(_key(value))
    differing: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for (names, name), values in seen.items():
        if len(values) > 1:
            differing[names].add(name)
    return differing


def _board(
    records: Sequence[Record], store: Store, keys: _Keys, differing_boards: Mapping[tuple[str, ...], set[str]]
) -> tuple[Board, list[Measured]]:
    first = next((record for record in records if record.status == "ok"), records[0])
    groups: dict[Hashable, list[Record]] = defaultdict(list)
    for record in records:
        groups[keys.row_of(record)].append(record)
    differing = _differing_settings(records)
    unreadable: list[str] = []
    newest = _newest_timing_group(records)
    rows = [_row(group, differing, newest, store, unreadable) for group in groups.values()]
    ranked, measured = _ranked(_told_apart(rows), first.direction)
    notes = (
        [f"Not paired, since per-example values cannot be read: {', '.join(unreadable)}."]
        if unreadable and len(rows) > 1
        else []
    )
    dataset, metric = first.dataset, first.metric
    names = dataset["name"], metric["name"]
    board = Board(
        dataset=dataset["name"],
        dataset_settings=dataset["settings"],
        dataset_label=_label_of_component(dataset, differing_boards.get(names[:1], ())),
        metric=metric["name"],
        metric_settings=metric["settings"],
        metric_label=_label_of_component(metric, differing_boards.get(names, ())),
        split=first.split,
        evaluation_seed=first.evaluation_seed,
        unit=first.unit,
        direction=first.direction,
        measure=first.measure,
        machine=first.machine,
        rows=tuple(ranked),
        bound=first.bound,
        notes=tuple(notes),
        limits=next((record.limits for record in records if record.limits), None),
        dataset_content=dataset.get("content"),
        dataset_distribution=dataset["distribution"],
        dataset_version=dataset["version"],
        metric_distribution=metric["distribution"],
        metric_version=metric["version"],
        engine_label=_label_of_engine(first, differing_boards.get((*names, first.machine or ""), ())),
    )
    return board, measured


def _label_of_component(component: Mapping[str, Any], differing: Collection[str]) -> str:
    """Return the settings of a data set or a metric that were changed, and what else distinguishes it."""
    changed = _label(component["settings"], component["changed"])
    return " ".join(filter(None, [changed, *_origin(component, differing), _content(component)]))


def _label_of_engine(record: Record, differing: Collection[str]) -> str:
    """Return the settings of the engine that distinguish a timing; nothing for other metrics, or without a value."""
    engine = _engine_of_timing(record) if record.machine and record.status == "ok" else {}
    return _label(engine, [name for name in engine if name in differing])


def _newest_timing_group(records: Sequence[Record]) -> str | None:
    timed = [record for record in records if record.status == "ok" and record.timing_group]
    return max(timed, key=lambda record: record.ended or "").timing_group if timed else None


def _row(
    records: Sequence[Record],
    differing: Mapping[str, set[str]],
    newest: str | None,
    store: Store,
    unreadable: list[str],
) -> tuple[Row, Measured | None]:
    """Return a row with what its rank depends on; values that cannot be read are added to ``unreadable``.

    ``newest`` is the timing group in which the last timing of the board was taken.
    """
    with_value = [record for record in records if record.status == "ok"]
    others = [record for record in records if record.status != "ok"]
    first = min(with_value or others, key=lambda record: record.seed)
    model = first.model
    title = model.get("title")
    worth_showing = {*differing[_head(model)], *(model["changed"] if title is None else ())}
    shown = [name for name in model["settings"] if name in worth_showing]
    part_names = dict.fromkeys(name for record in with_value for name in record.parts)
    label = " ".join(filter(None, [_label(model["settings"], shown), _differences(first, differing)]))
    measured, seeds = _measured(with_value, store) if with_value else (None, [])
    unreadable += [" ".join(filter(None, [title or model["name"], label, f"(seed {seed})"])) for seed in seeds]
    row = Row(
        model=model["name"],
        settings=model["settings"],
        label=label,
        budget=first.budget,
        engine=first.engine,
        status="ok" if with_value else first.status,
        reason="; ".join(filter(None, [*_notes(first), _reason(with_value, others)])) or None,
        value=measured.value if measured else None,
        stderr=measured.stderr if measured else None,
        spread=measured.spread if measured else None,
        by_seed=measured.by_seed if measured else {},
        n=first.n,
        counted=_counted(first),
        biased_in_favour=any(record.biased_in_favour for record in with_value),
        parts={name: mean for name in part_names if (mean := _mean_part(with_value, name)) is not None},
        diagnostics=first.diagnostics,
        threads=first.threads,
        warning=first.warning,
        estimator_stderr=first.estimator_stderr,
        effective_sample_size=first.effective_sample_size,
        degrees_of_freedom=first.degrees_of_freedom,
        fit_key=first.fit_key,
        no_rank=_no_rank(with_value, others, measured, newest) if measured and first.direction else None,
        title=title,
        distribution=model["distribution"],
        version=model["version"],
        content=model.get("content"),
    )
    return row, measured


def _told_apart(rows: Sequence[tuple[Row, Measured | None]]) -> list[tuple[Row, Measured | None]]:
    """Return the rows, with the keys of their fits in the labels of those that would have the same name."""
    times = Counter(row.name for row, _ in rows)
    return [
        (replace(row, label=f"{row.label} fit={row.fit_key[:8]}".strip()) if times[row.name] > 1 else row, measured)
        for row, measured in rows
    ]


def _counted(record: Record) -> str:
    return record.counted or ("repeats" if record.machine else "test examples")


def _no_rank(records: Sequence[Record], others: Sequence[Record], measured: Measured, newest: str | None) -> str | None:
    """Return why a row has no rank, and how to get one; None if it has one.

    Args:
        records: of the row, with a value.
        others: of the row, without.
        measured: the value of the row.
        newest: the timing group in which the last timing of the board was taken.
    """
    if others:
        return "not all of its seeds have a value"
    if any(record.contradiction for record in records):
        return _contradicted
    if any(record.biased_in_favour for record in records):
        return "its error is known to favour the model"
    if any(record.machine and record.timing_group is None for record in records):
        return "timed on its own; time all rows in one fresh run"
    if any(record.machine and record.timing_group != newest for record in records):
        return "timed at another time; time all rows in one fresh run"
    if len(records) == 1 and records[0].depends_on_seed:
        return one_seed
    if measured.stderr is None and not measured.spread:
        return "its error is not known"
    return None


def _mean_part(records: Sequence[Record], name: str) -> float | None:
    """Return the mean over seeds of a part, without the seeds for which it was not finite."""
    known = [part for record in records if (part := record.parts.get(name)) is not None]
    return fmean(known) if known else None


def _measured(records: Sequence[Record], store: Store) -> tuple[Measured, list[int]]:
    """Return the values of a row over its seeds, and the seeds whose per-example values cannot be read."""
    by_seed = {record.seed: record.value for record in records if record.value is not None}
    stderrs = tuple(record.stderr for record in records if record.stderr is not None)
    freedoms = [freedom for record in records if (freedom := degrees_of_freedom_of(record)) is not None]
    unpaired = Measured(by_seed, stderrs, min(freedoms, default=None))
    if any(record.group_values for record in records):
        noise = [record.estimator_stderr or 0.0 for record in records]
        return replace(unpaired, group_values=_mean_of_groups(records), measurement_stderr=root_mean_square(noise)), []
    if not _counted(records[0]).endswith("examples"):
        return replace(unpaired, measurement_stderr=root_mean_square(stderrs)), []
    known = []
    for record in records:
        try:
            found = store.values(record)
        except StoreError as error:
            store.warn(f"{error}; the 'harness run' that wrote it, started again, measures it again")
            return unpaired, [record.seed]
        if found is None:
            return unpaired, []
        known.append(found)
    ids = known[0].ids
    if any(len(each.ids) != len(ids) or (each.ids != ids).any() for each in known):
        return unpaired, []
    values = sum((each.values for each in known[1:]), start=known[0].values) / len(known)
    noise = [stderr_not_over_examples(record, each) for record, each in zip(records, known, strict=True)]
    return replace(unpaired, ids=ids, values=values, measurement_stderr=root_mean_square(noise)), []


def _mean_of_groups(records: Sequence[Record]) -> NDArray[np.float64] | None:
    import numpy as np

    if len({len(record.group_values) for record in records}) > 1:
        return None
    means: NDArray[np.float64] = np.array([record.group_values for record in records]).mean(0)
    return means


def _notes(record: Record) -> list[str]:
    """Return what is said of the files that the model and the data set come from."""
    return [each["note"] for each in (record.model, record.dataset) if "note" in each]


def _reason(measured: Sequence[Record], others: Sequence[Record]) -> str | None:
    if not measured:
        return others[0].reason
    reasons = []
    if others:
        reasons.append(f"without seed {_seeds(others)}: {others[0].status}, {others[0].reason}")
    warned: dict[str, list[Record]] = defaultdict(list)
    for record in measured:
        for warning in filter(None, (record.contradiction, record.warning)):
            warned[warning].append(record)
    for warning, those in warned.items():
        reasons.append(warning if len(those) == len(measured) else f"seed {_seeds(those)}: {warning}")
    return "; ".join(reasons) or None


def _seeds(records: Sequence[Record]) -> str:
    return ", ".join(str(record.seed) for record in records)


def _ranked(rows: Sequence[tuple[Row, Measured | None]], direction: str | None) -> tuple[list[Row], list[Measured]]:
    """Sort rows by value and rank those that can be; return them with the values of those that have a rank."""
    valued = [(row, measured) for row, measured in rows if measured is not None]
    without_value = sorted((row for row, measured in rows if measured is None), key=lambda row: (row.model, row.label))
    if direction is None:
        return [*(row for row, _ in valued), *without_value], []
    valued.sort(key=lambda each: each[1].value, reverse=direction == "higher")
    valued.sort(key=lambda each: each[0].biased_in_favour or each[0].no_rank == _contradicted)
    compared = [measured for row, measured in valued if row.no_rank is None]
    if len(compared) == 1 and valued[0][0].no_rank is not None:
        valued = [(replace(row, no_rank=row.no_rank or _alone), each) for row, each in valued]
        compared = []
    ranks = iter(zip(*rank_ranges(compared, direction), strict=True)) if compared else iter(())
    ranked = []
    for row, _ in valued:
        if row.no_rank is None:
            low, high, margin = next(ranks)
            known = float(margin) if len(compared) > 1 else None
            row = replace(row, rank_low=int(low), rank_high=int(high), comparison_margin=known)
        ranked.append(row)
    return [*ranked, *without_value], compared


def _differing_settings(records: Sequence[Record]) -> dict[str, set[str]]:
    """Return in what the rows of each model differ, by its title or name; under "", those of budgets and engines."""
    differing: dict[str, set[str]] = defaultdict(set)
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    contents: dict[tuple[str, str], set[str | None]] = defaultdict(set)
    for record in {(id(record.budget), id(record.engine)): record for record in records}.values():
        lengths = dict.fromkeys(["epochs", "steps", "seconds"]) if record.budget is not None else {}
        for name, value in {**lengths, **training(record)}.items():
            seen["", name].add(_key(value))
    for record in {id(record.model): record for record in records}.values():
        head = _head(record.model)
        for name, value in record.model["settings"].items():
            seen[head, name].add(_key(value))
        for name in ("distribution", "version"):
            seen[head, name].add(record.model[name])
        named = [record.model["settings"], record.model.get("weights")]
        contents[head, _key(named)].add(record.model.get("content"))
    for (head, _), found in contents.items():
        if len(found) > 1:
            differing[head].add("content")
    for (head, name), values in seen.items():
        if len(values) > 1:
            differing[head].add(name)
    return differing


def _head(model: Mapping[str, Any]) -> str:
    """Return what the names of the rows of a model begin with."""
    head: str = model.get("title") or model["name"]
    return head


def training(record: Record | Row) -> dict[str, Any]:
    """Return the budget and the engine of a fit; records call the step mode ``execution``, unless it is eager.

    A fit in closed form takes no steps, so it has no setting of how steps are computed.
    """
    engine = dict(record.engine)
    found = {**(record.budget or {}), "step_mode": engine.pop("execution", "eager"), **engine}
    of_steps = () if record.budget is not None else ("step_mode", "precision", "path")
    return {name: value for name, value in found.items() if name not in of_steps}


def _differences(record: Record, differing: Mapping[str, set[str]]) -> str:
    how, of_model = training(record), differing.get(_head(record.model), ())
    label = _label(how, [name for name in how if name in differing.get("", ())])
    origin = _origin(record.model, of_model)
    weights = f"weights={record.model['weights']}" if "weights" in record.model else ""
    content = _content(record.model) if "content" in of_model else ""
    return " ".join(filter(None, [label, *origin, weights, content]))


def _origin(component: Mapping[str, Any], differing: Collection[str]) -> list[str]:
    """Return the distribution and the version of a component, as far as they distinguish it."""
    return [f"{name}={short_version(component[name])}" for name in ("distribution", "version") if name in differing]


def _content(component: Mapping[str, Any]) -> str:
    """Return the first digits of the digest of its files, if it is identified by them."""
    return f"content={component['content'][:8]}" if "content" in component else ""


def short_version(version: str) -> str:
    """Return a version with eight digits of each digest in it."""
    return _long_digest.sub(r"\1", version)


def _label(settings: Mapping[str, Any], names: Iterable[str]) -> str:
    return " ".join(f"{name}={show(settings[name])}" for name in names)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
