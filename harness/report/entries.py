"""What a page shows of each model: settings, training, pictures, and how to compute its results again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.contracts.boards import Board, Row
from harness.contracts.engine import Engine
from harness.contracts.events import Record, identity_of, name_of_component
from harness.leaderboard.text import decimals, number, rank_range, unbroken, value_in_words
from harness.planning.budget import in_words
from harness.planning.identity import hash_of
from harness.registry import own_distribution
from harness.report.pictures import Picture, embedded
from harness.report.plots import Chart, Curve, chart
from harness.results.store import Store
from harness.settings import show

Commands = Callable[[Sequence[Record]], list[str]]


@dataclass(frozen=True)
class Result:
    """The row of a model on a board: the key and the title of the board, and the row in words.

    ``reason`` says why there is no value.
    """

    board: str
    title: str
    value: str
    rank: str
    reason: str | None


@dataclass(frozen=True)
class Entry:
    """One model with its settings on one data set, over its seeds.

    Args:
        key: the same as long as the model, its settings, budget and engine are.
        name: as its rows have it, with the key if two entries of a data set would have the same name.
        dataset: the data set with the settings that are not at their defaults.
        facts: what is known of its training: names and texts.
        settings: name, value in words, and whether it was changed.
        results: its rows.
        charts: of its losses against seconds.
        curves: the validation losses of its first seed, by loss.
        seconds: of training, the mean over seeds; None if they are not known.
        pictures: the figures of the first seed that has a value.
        commands: that compute its results again.
        environments: the keys of the environments in which it was measured.
    """

    key: str
    name: str
    dataset: str
    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str, bool], ...]
    results: tuple[Result, ...]
    charts: tuple[Chart, ...]
    curves: Mapping[str, Curve]
    seconds: float | None
    pictures: tuple[Picture, ...]
    commands: tuple[str, ...]
    environments: tuple[str, ...]


def entry_key(record: Record) -> str:
    """Return the key of the entry that a record belongs to."""
    components = [identity_of(each) for each in (record.dataset, record.model)]
    return hash_of([components, record.budget, record.engine])[:10]


def entries_of(
    records: Sequence[Record],
    boards: Mapping[str, Board],
    titles: Mapping[str, str],
    entry_of: Mapping[str, str],
    store: Store,
    commands_of: Commands,
) -> dict[str, Entry]:
    """Return the entries of all models by their keys, in the order in which boards first show them.

    Args:
        records: of all models.
        boards: of the records, by their keys on the page.
        titles: of the boards, by the same keys.
        entry_of: the key of the entry of each fit.
        store: has the fits.
        commands_of: returns the commands that compute the records of one model again.
    """
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        grouped[entry_of[record.fit_key]].append(record)
    rows: dict[str, list[tuple[str, Board, Row]]] = defaultdict(list)
    for board_key, board in boards.items():
        for row in board.rows:
            rows[entry_of[row.fit_key]].append((board_key, board, row))
    datasets = {key: name_of_component(grouped[key][0].dataset) for key in rows}
    names = {key: max((row.name for _, _, row in those), key=len) for key, those in rows.items()}
    known = Counter((datasets[key], name) for key, name in names.items())
    figures = [_figures([row for _, _, row in those], store) for those in rows.values()]
    pictures = embedded(figures, store.warn)
    entries = {}
    for (key, those), of_model in zip(rows.items(), pictures, strict=True):
        name = names[key] if known[datasets[key], names[key]] == 1 else f"{names[key]} ({key})"
        fits = _fits(grouped[key], store)
        seconds = [taken for fit in fits.values() if (taken := _seconds(fit)) is not None]
        curves = list(_curves(fits))
        entries[key] = Entry(
            key,
            name,
            datasets[key],
            tuple(_facts(grouped[key], fits, seconds)),
            _settings(grouped[key][0]),
            tuple(_result(board_key, titles[board_key], board, row) for board_key, board, row in those),
            tuple(found for loss, drawn in curves if (found := chart(loss, drawn)) is not None),
            {loss: drawn[0] for loss, drawn in curves},
            fmean(seconds) if seconds else None,
            tuple(of_model),
            tuple(commands_of(grouped[key])),
            tuple(sorted({record.environment for record in grouped[key] if record.environment})),
        )
    return entries


def _result(board_key: str, title: str, board: Board, row: Row) -> Result:
    unit = f" {board.unit}" if board.unit and row.value is not None else ""
    rank = rank_range(row) if row.rank_low is not None else ""
    value = unbroken(value_in_words(row)) + unit
    return Result(board_key, title, value, rank, row.reason if row.value is None else None)


def _figures(rows: Sequence[Row], store: Store) -> list[Any]:
    first = next((row for row in rows if row.value is not None), rows[0])
    return store.figures(first.fit_key)


def _fits(records: Sequence[Record], store: Store) -> dict[int, dict[str, Any]]:
    """Return the descriptions of the stored fits by their seeds."""
    keys = {record.seed: record.fit_key for record in sorted(records, key=lambda each: each.seed)}
    return {seed: found for seed, key in keys.items() if (found := store.fit(key)) is not None}


def _seconds(fit: Mapping[str, Any]) -> float | None:
    """Return the seconds of a fit: those of its epochs, or all of them for a closed-form fit."""
    epochs = fit.get("curves", {}).get("seconds")
    return sum(epochs) if epochs else fit.get("seconds")


def _settings(record: Record) -> tuple[tuple[str, str, bool], ...]:
    changed = record.model["changed"]
    return tuple((name, show(value), name in changed) for name, value in record.model["settings"].items())


def _curves(fits: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[str, list[Curve]]]:
    """Yield each loss with its curves: of all seeds on validation examples, and of the first one in training."""
    described = {seed: fit["curves"] for seed, fit in fits.items() if fit.get("curves", {}).get("seconds")}
    for loss in dict.fromkeys(name for curves in described.values() for name in curves["train"]):
        drawn = [
            Curve("validation", curves["seconds"], curves["validation"][loss], 0)
            for curves in described.values()
            if loss in curves["validation"]
        ]
        drawn += [
            Curve(f"training, seed {seed}", curves["seconds"], curves["train"][loss], 1, is_dashed=True)
            for seed, curves in list(described.items())[:1]
            if loss in curves["train"]
        ]
        if drawn:
            yield loss, drawn


def _facts(
    records: Sequence[Record], fits: Mapping[int, Mapping[str, Any]], seconds: Sequence[float]
) -> Iterator[tuple[str, str]]:
    first = records[0]
    without = f"none: {first.model.get('note', 'it is fitted in closed form')}"
    yield "Budget", in_words(first.budget) if first.budget else without
    yield "Seeds", ", ".join(map(str, sorted({record.seed for record in records})))
    if seconds:
        yield (
            "Training time",
            f"{number(fmean(seconds), decimals(fmean(seconds)))} s" + " on average" * (len(seconds) > 1),
        )
    parameters = next((fit["parameters"] for fit in fits.values() if fit.get("parameters")), None)
    if parameters:
        yield "Parameters", f"{parameters:,}"
    yield "Engine", Engine.from_identity(first.engine).in_words
    yield "Version", _versions(first)
    others = {
        f"{each['distribution']} {each.get('plugin_version', each['version'])}"
        for record in records
        for each in (record.dataset, record.model, record.metric)
        if each["distribution"] != own_distribution
    }
    if others:
        yield "Needs the plugins", ", ".join(sorted(others))
    commits = {f"{record.commit[:12]}{' with changes' * bool(record.dirty)}" for record in records if record.commit}
    if commits:
        yield "Commit", ", ".join(sorted(commits))
    for seed, fit in fits.items():
        if fit.get("status", "ok") != "ok":
            yield f"Seed {seed}", f"{fit['status']}: {fit.get('reason')}"
        if fit.get("fallback"):
            yield f"Training of seed {seed}", str(fit["fallback"])


def _versions(record: Record) -> str:
    return f"model {record.model['version']}, data set {record.dataset['version']}"
