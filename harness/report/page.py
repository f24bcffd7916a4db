"""The page: boards, models and environments as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import count, product
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.contracts.boards import Board, Row
from harness.contracts.events import Record
from harness.leaderboard.board import build_boards
from harness.leaderboard.index import most_names
from harness.leaderboard.text import (
    captions,
    dataset_name,
    measurement,
    part_in_words,
    rank_range,
    spread_in_words,
    unbroken,
    value_in_words,
)
from harness.planning.identity import hash_of
from harness.report import plots
from harness.report.entries import Commands, Entry, entries_of, entry_key
from harness.report.labels import short_names
from harness.report.plots import Chart, Costed, RateDistortion, TradeOff, chart, intervals, rate_distortion, trade_off
from harness.results.store import Store
from harness.words import counted

_many = 4  # models named in the title; more are counted
_fewest_ranked = 2  # rows of a board of quality that is drawn against costs
comparable_loss = "negative ELBO"  # what models call the negative lower bound on log p(x); other losses differ in scale


@dataclass(frozen=True)
class Section:
    """The boards of one data set, with the plots that need several of them.

    Args:
        key: of the data set.
        title: the data set with the settings that are not at their defaults.
        boards: by their keys.
        first: the rows that may be the first of a board, by the key of the board, where there are any.
        trade_offs: quality against cost, by the key of the board of quality.
        rate_distortions: distortion against rate.
        chart: the comparable losses of all models against seconds, or None.
    """

    key: str
    title: str
    boards: Mapping[str, Board]
    first: Mapping[str, Sequence[Row]]
    trade_offs: Mapping[str, Sequence[TradeOff]]
    rate_distortions: Sequence[RateDistortion]
    chart: Chart | None


def render(
    records: Sequence[Record],
    store: Store,
    commands_of: Commands,
    summaries: Mapping[str, str],
    *,
    among: Iterable[Record] = (),
    is_served: bool = False,
) -> str:
    """Return the page of records, which may be none. The same records and fits give the same text.

    Args:
        records: of any data sets, models and metrics.
        store: has the fits, per-example values and environments of the records.
        commands_of: returns the commands that compute the records of one model again.
        summaries: what each known metric measures, in one line, by name.
        among: others that may contradict the records, such as all records of the store.
        is_served: whether the page asks its server for changes.

    Raises:
        StoreError: a file of the store cannot be read.
    """
    boards = _keyed(build_boards(records, store, among))
    titles = _titles(boards)
    entry_of = {record.fit_key: entry_key(record) for record in records}
    entries = entries_of(records, boards, titles, entry_of, store, commands_of)
    models = list(dict.fromkeys(record.model["name"] for record in records))
    environments = sorted({record.environment for record in records if record.environment})
    script, style = _source("page.js") + (_source("follow.js") if is_served else ""), _source("page.css")
    return (
        _templates()
        .get_template("page.html")
        .render(
            title=_title(records),
            counts=_counts(records),
            models=models if len(models) > _many else [],
            titles=titles,
            summaries=summaries,
            sections=list(_sections(boards, titles, entries, entry_of)),
            entries=entries,
            entry_of=entry_of,
            environments={key: list(_flat(store.environment(key) or {})) for key in environments},
            script=script,
            style=style,
            policy=_policy(script, style, is_served=is_served),
            canvas=plots,
            most_first=most_names,
        )
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {
        "captions": partial(captions, over_seeds=True),
        "words": lambda row: unbroken(value_in_words(row)),
        "ranks": rank_range,
        "intervals": intervals,
    }
    templates.globals |= {"part": part_in_words, "spread": spread_in_words}
    return templates


def _source(name: str) -> str:
    templates = _templates()
    assert templates.loader is not None
    return templates.loader.get_source(templates, name)[0]


def _policy(script: str, style: str, *, is_served: bool) -> str:
    """Return the content security policy: nothing is loaded, and no other script or style has an effect."""
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (script, style)]
    own = "'self'" if is_served else "'none'"
    return (
        f"default-src 'none'; img-src data:; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; "
        f"connect-src {own}; base-uri 'none'; form-action 'none'"
    )


def _keyed(boards: Iterable[Board]) -> dict[str, Board]:
    """Return boards by keys that stay the same while rows are added."""
    found: dict[str, Board] = {}
    for board in boards:
        metric = [board.metric, board.metric_distribution, board.metric_version, dict(board.metric_settings)]
        parts = [*_dataset(board), *metric, board.split, board.evaluation_seed, board.unit, board.measure]
        # Boards that differ in nothing of this differ in the engine of a timing.
        keys = (hash_of([*parts, board.machine, number])[:10] for number in count())
        found[next(key for key in keys if key not in found)] = board
    return found


def _dataset(board: Board) -> list[Any]:
    content = [] if board.dataset_content is None else [board.dataset_content]
    return [board.dataset, board.dataset_distribution, board.dataset_version, dict(board.dataset_settings), *content]


def _title(records: Sequence[Record]) -> str:
    """Name what is compared: a few models, and the data sets."""
    models, datasets = (
        list(dict.fromkeys(getattr(record, kind)["name"] for record in records)) for kind in ("model", "dataset")
    )
    return f"{_listed(models, 'models')} on {_listed(datasets, 'data sets')}" if records else "No results yet"


def _listed(names: Sequence[str], what: str) -> str:
    if len(names) > _many:
        return f"{len(names)} {what}"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _counts(records: Sequence[Record]) -> list[str]:
    """Return the facts of the header, each in a few words."""
    statuses = Counter(record.status for record in records)
    facts = [counted(len(records), "result")] if records else []
    facts += [f"{statuses[status]:,} {status}" for status in sorted(statuses) if status != "ok"]
    days = sorted({record.ended[:10] for record in records if record.ended})
    if days:
        facts.append(f"measured {' to '.join(dict.fromkeys([days[0], days[-1]]))}")
    return facts


def _titles(boards: Mapping[str, Board]) -> dict[str, str]:
    """Return the titles of boards: the metric, how it was measured, and in what others of this title differ."""
    alike: dict[tuple[str, str], list[Board]] = defaultdict(list)
    for board in boards.values():
        alike[dataset_name(board), measurement(board)].append(board)
    return {
        key: " · ".join([measurement(board), *_distinguishing(board, alike[dataset_name(board), measurement(board)])])
        for key, board in boards.items()
    }


def _distinguishing(board: Board, alike: Sequence[Board]) -> list[str]:
    """Return the measure, the machine and the unit of a board, as far as boards differ in them."""
    kinds = [kind for kind in ("measure", "machine", "unit") if len({getattr(each, kind) for each in alike}) > 1]
    return [fact for kind in kinds if (fact := getattr(board, kind))]


def _sections(
    boards: Mapping[str, Board], titles: Mapping[str, str], entries: Mapping[str, Entry], entry_of: Mapping[str, str]
) -> Iterator[Section]:
    by_dataset: dict[str, dict[str, Board]] = defaultdict(dict)
    for key, board in boards.items():
        by_dataset[hash_of(_dataset(board))[:10]][key] = board
    for dataset, its_boards in by_dataset.items():
        first = next(iter(its_boards.values()))
        shown = dict.fromkeys(entry_of[row.fit_key] for board in its_boards.values() for row in board.rows)
        its_entries = [entries[key] for key in shown]
        yield Section(
            dataset,
            dataset_name(first),
            its_boards,
            {key: rows for key, board in its_boards.items() if (rows := board.may_be_first)},
            {
                key: found
                for key in its_boards
                if (found := list(_trade_offs(key, its_boards, titles, entries, entry_of)))
            },
            list(_rate_distortions(its_boards, titles)),
            _shared_chart(its_entries),
        )


def is_cost(board: Board) -> bool:
    """Whether a board has costs: timings, or values that are exact, such as counts of parameters."""
    valued = [row for row in board.rows if row.value is not None]
    return bool(valued) and (board.machine is not None or all(row.stderr == 0 for row in valued))


def _trade_offs(
    key: str,
    boards: Mapping[str, Board],
    titles: Mapping[str, str],
    entries: Mapping[str, Entry],
    entry_of: Mapping[str, str],
) -> Iterator[TradeOff]:
    """Yield the charts of one board of quality against each cost of the same models."""
    board = boards[key]
    ranked = [row for row in board.rows if row.rank_low is not None]
    if board.direction is None or is_cost(board) or len(ranked) < _fewest_ranked:
        return
    costs: list[tuple[str, str, Mapping[str, float | None]]] = [
        ("training time (s)", "lower", {each: entry.seconds for each, entry in entries.items()})
    ]
    for other_key, other in boards.items():
        if other.direction is not None and is_cost(other):
            values = {entry_of[row.fit_key]: row.value for row in other.rows}
            costs.append((_axis_title(titles[other_key], other), other.direction, values))
    for title, direction, by_entry in costs:
        rows = [row for row in board.rows if row.value is not None and by_entry.get(entry_of[row.fit_key]) is not None]
        models = [
            Costed(name, row.value, row.comparison_margin, cost, is_ranked=row.no_rank is None)
            for row, name in zip(rows, short_names(rows), strict=True)
            if row.value is not None and (cost := by_entry[entry_of[row.fit_key]]) is not None
        ]
        found = trade_off(models, (_axis_title(titles[key], board), board.direction), (title, direction))
        if found is not None:
            yield found


def _axis_title(title: str, board: Board) -> str:
    return f"{title} ({board.unit})" if board.unit else title


def _rate_distortions(boards: Mapping[str, Board], titles: Mapping[str, str]) -> Iterator[RateDistortion]:
    """Yield a chart for each board of rates with a board of distortions of the same fits."""
    by_metric: dict[str, list[tuple[str, Board]]] = defaultdict(list)
    for key, board in boards.items():
        by_metric[board.metric].append((key, board))
    for (rate_key, rates), (key, distortions) in product(by_metric["rate"], by_metric["distortion"]):
        values = {row.fit_key: row for row in distortions.rows if row.value is not None}
        pairs = [(row, values[row.fit_key]) for row in rates.rows if row.value is not None and row.fit_key in values]
        if (rates.split, rates.evaluation_seed) == (distortions.split, distortions.evaluation_seed):
            axes = _axis_title(titles[rate_key], rates), _axis_title(titles[key], distortions)
            if (found := rate_distortion(pairs, axes)) is not None:
                yield found


def _shared_chart(entries: Iterable[Entry]) -> Chart | None:
    """Return the chart of the comparable losses of the first seeds of all models; None if fewer than two have one."""
    curves = [
        replace(entry.curves[comparable_loss], name=entry.name) for entry in entries if comparable_loss in entry.curves
    ]
    drawn = [replace(curve, colour=min(place, plots.colours)) for place, curve in enumerate(curves)]
    return chart(comparable_loss, drawn) if len(drawn) > 1 else None


def _flat(described: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and texts of a description, those of nested ones with a prefix."""
    for name, value in described.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif value is not None:
            yield f"{prefix}{name}", str(value)
