"""``harness results``: the rows of a store, listed, hidden from boards, renamed, or removed."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from harness.cli.options import Command, format_option, names_option, runs_option
from harness.cli.output import notice, output_console, warn
from harness.cli.stored import no_results, selected
from harness.contracts.events import Record, name_of_component
from harness.errors import UsageError, unknown
from harness.leaderboard.board import short_version, training
from harness.planning.budget import in_words
from harness.results import curation
from harness.results.store import Store
from harness.settings import show
from harness.words import counted

_origins = {
    f"{prefix}{name}": (kind, name)
    for kind, prefix in (("model", ""), ("metric", "metric "), ("dataset", "data set "))
    for name in ("distribution", "version", "content")
}
_of_origin = [each for each in _origins if each != "version"]
_shown_if_differing = ("weights", "split", "evaluation seed", "training", "engine", "machine", *_of_origin)
_files = "files of leaderboards change when a run on their data set writes them again"
_columns = ("model", *_shown_if_differing, "version", "note", "seeds", "last ended")  # of a table


@click.group(epilog="Example:  harness results hide --models tied-ae --older")
def results() -> None:
    """List stored results, hide some from leaderboards, rename models there, or remove results.

    A plugin that is edited leaves the results of its earlier versions; --older selects these.
    """


def _filters(command: Command) -> Command:
    """Add the options that choose results."""
    older = click.option(
        "--older", is_flag=True, help="Only results that another version has measured since, all else equal."
    )
    models = names_option("--models", "--model", "models", metavar="A,B", help="Only these models.")
    metrics = names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="Only these metrics.")
    datasets = names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="Only these data sets.")
    return models(metrics(datasets(older(runs_option(command)))))


@results.command("list")
@_filters
@format_option("terminal", "json")
def list_(runs: Path, format_: str, **filters: Any) -> None:
    """List results: one line for each row of a leaderboard, with what is hidden."""
    store, records = _chosen(runs, **filters)
    hidden = curation.hidden_cells(store)
    old = {record.cell_key for record in curation.older(store.records())}
    rows: dict[str, dict[str, Any]] = {}
    for record in records:
        named = {kind: getattr(record, kind) for kind in ("dataset", "metric", "model")}
        marks = [word for word, keys in (("hidden", hidden), ("older", old)) if record.cell_key in keys]
        marks += [record.status] * (record.status != "ok")
        row = {
            **{kind: name_of_component(each) for kind, each in named.items()},
            "weights": record.model.get("weights", ""),
            "split": record.split,
            "evaluation seed": record.evaluation_seed,
            "training": in_words(record.budget) if record.budget else "",
            "engine": {name: value for name, value in training(record).items() if name not in (record.budget or {})},
            "machine": record.machine or "",
            **{name: named[kind].get(field, "") for name, (kind, field) in _origins.items()},
            "note": ", ".join(marks),
        }
        key = json.dumps([row, *named.values(), record.budget, record.engine], sort_keys=True)
        found = rows.setdefault(key, {**row, "seeds": [], "last ended": ""})
        found["seeds"].append(record.seed)
        found["last ended"] = max(found["last ended"], record.ended or "")
    if format_ == "json":
        print(json.dumps(list(rows.values()), indent=1))
        return
    _show(list(rows.values()))


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table for each data set and metric; what its rows have in common may be left out."""
    from rich.text import Text

    from harness.leaderboard.terminal import TableOfWords

    tables: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        tables.setdefault(f"{row['dataset']} · {row['metric']}", []).append(row)
    console = output_console()
    for title, those in tables.items():
        engines = [row["engine"] for row in those]
        names = dict.fromkeys(name for engine in engines for name in engine)
        differing = [name for name in names if len({engine[name] for engine in engines if name in engine}) > 1]
        lines = [
            row
            | {
                "engine": " ".join(
                    f"{name}={show(row['engine'][name])}" for name in differing if name in row["engine"]
                ),
                **{name: _short(row[name], field) for name, (_, field) in _origins.items()},
                "seeds": ", ".join(map(str, sorted(row["seeds"]))),
                "last ended": row["last ended"][:10],
            }
            for row in those
        ]
        headings = [
            each for each in _columns if each not in _shown_if_differing or len({line[each] for line in lines}) > 1
        ]
        texts = [[str(line[heading]) for heading in headings] for line in lines]
        console.print(
            Text(title, "bold"), TableOfWords(headings, texts, ["dim" if line["note"] else "" for line in lines])
        )
        console.print()


def _short(text: str, field: str) -> str:
    """Return the distribution, version or content of a component as a table shows it."""
    return text[:8] if field == "content" else short_version(text)


@results.command()
@_filters
def hide(runs: Path, **filters: Any) -> None:
    """Leave results out of leaderboards; they stay stored."""
    store, records = _chosen(runs, required=True, **filters)
    curation.hide(store, {record.cell_key for record in records})
    notice(f"hidden: {_count(records)}; {_files}; 'harness results unhide' shows them again")


@results.command()
@_filters
def unhide(runs: Path, **filters: Any) -> None:
    """Show hidden results on leaderboards again."""
    store, records = _chosen(runs, **filters)
    hidden = curation.hidden_cells(store)
    found = [record for record in records if record.cell_key in hidden]
    curation.unhide(store, {record.cell_key for record in found})
    notice(f"shown again: {_count(found)}" + (f"; {_files}" if found else ""))


@results.command(epilog="Example:  harness results rename 'vae beta=0.5' 'VAE, β = ½'")
@click.argument("model")
@click.argument("title", required=False)
@runs_option
def rename(runs: Path, model: str, title: str | None) -> None:
    """Give MODEL the name TITLE on leaderboards; without TITLE, give it its own name back.

    MODEL is a name with the settings that were changed, as 'harness results list' shows it. The title stands for both,
    on all leaderboards. Stored results, and the commands that compute them, keep the name.
    """
    store = Store(runs, warn)
    records = store.records()
    if not records:
        raise no_results(runs)
    by_name: dict[str, set[str]] = {}
    for record in records:
        by_name.setdefault(name_of_component(record.model), set()).add(curation.title_key(record.model))
    titles = curation.titles(store)
    named = by_name.get(model) or {key for key, given in titles.items() if given == model}
    if not named:
        raise unknown(f"model in {runs}", model, [*by_name, *titles.values()])
    others = {key: given for key, given in titles.items() if key not in named}
    if title is None:
        curation.write_titles(store, others)
        notice(f"{model} has its own name again; {_files}")
        return
    if title.strip() and title != title.strip():
        raise UsageError(f"title {title!r} begins or ends with a space; write {title.strip()!r}")
    if not curation.is_title(title):
        raise UsageError(f"title {title!r}: write one line of at most {curation.longest_title} characters")
    if curation.is_taken(title, named, records, titles):
        raise UsageError(f"title {title!r}: another model of {runs} has this name")
    curation.write_titles(store, {**others, **dict.fromkeys(named, title)})
    notice(f"{model} is now {title}; {_files}")


@results.command()
@_filters
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(runs: Path, yes: bool, **filters: Any) -> None:
    """Remove the records of results; fitted models stay.

    The records before are kept in records.jsonl.bak, which the next removal replaces.
    """
    store, records = _chosen(runs, required=True, **filters)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"this would remove {_count(records)}; add --yes to do it")
        if not click.confirm(f"Remove {_count(records)} from {store.records_file}?", err=True):
            notice("nothing was removed")
            return
    copy = curation.remove(store, {record.cell_key for record in records})
    notice(f"removed: {_count(records)}; the records before are in {copy}; {_files}")


def _chosen(
    runs: Path,
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    datasets: tuple[str, ...],
    older: bool,
    required: bool = False,
) -> tuple[Store, list[Record]]:
    """Return the store, and the records that the options name.

    Raises:
        UsageError: there are none, or a name is unknown, or nothing is named though that is ``required``.
    """
    store = Store(runs, warn)
    records = store.records()
    if not records:
        raise no_results(runs)
    if required and not (models or metrics or datasets or older):
        raise UsageError("name the results, with --models, --metric, --dataset or --older")
    names = {"model": models, "metric": metrics, "dataset": datasets}
    old = {record.cell_key for record in curation.older(records)}
    found = [each for each in selected(records, names, runs) if not older or each.cell_key in old]
    if not found:
        raise UsageError(f"no result of these names in {runs} is older than another")
    return store, found


def _count(records: list[Record]) -> str:
    return counted(len(records), "result")
