"""``harness reproduce``: stored results, computed again from their records and compared."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.data import cache_dir, data_dir_option
from harness.cli.engine import prepare_engine
from harness.cli.main import load_registry
from harness.cli.options import WholeNumber, format_option, names_option, plugin_option, runs_option
from harness.cli.output import notice, output_console, warn
from harness.cli.stored import no_results, nothing_shown, selected
from harness.contracts.events import Record, name_of_component
from harness.errors import UsageError
from harness.results.curation import shown_records
from harness.results.store import Store

if TYPE_CHECKING:
    from harness.registry import Registry
    from harness.results.reproduction import Reproduction

_many = 5  # results or differences in a message; more are counted
_different_exit, _interrupted_exit = 1, 130


@click.command(
    epilog="""\b
Examples:
  harness reproduce 0823f7486d93
  harness reproduce --dataset mnist-10k --metric reconstruction-mse
  harness reproduce --dataset mnist-10k --models pca,ppca

The key of a result is the field cell_key of its line in records.jsonl.
The exit code is 1 if a result is not the same; a timing, or a result of a
budget in seconds, may differ within its error."""
)
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@names_option("--dataset", "--datasets", "datasets", metavar="D[,D]", help="All results of these data sets.")
@names_option("--metric", "--metrics", "metrics", metavar="M[,M]", help="All results of these metrics.")
@names_option("--models", "--model", "models", metavar="A,B", help="All results of these models.")
@click.option("--jobs", type=WholeNumber(min=1), metavar="N",
              help="Fits to run in parallel, on CUDA each on a GPU of its own; results do not depend on it. "
              "[default: as many as keep all cores or GPUs busy]")  # fmt: skip
@data_dir_option
@runs_option
@plugin_option
@format_option("terminal", "json")
@click.option("--quiet", is_flag=True, help="Show only the comparison, failures and warnings.")
def reproduce(keys: tuple[str, ...], runs: Path, format_: str, **values: Any) -> int:
    """Compute stored results again, each from its record alone, and say whether they are the same.

    KEY is the key of a cell, or its unique beginning. With --dataset and --metric, all rows of a board are computed
    again. Models are trained again in a temporary folder; the store stays as it is.
    """
    from harness.results.reproduction import rests_on_a_clock

    store = Store(runs, warn)
    names = {"dataset": values["datasets"], "model": values["models"], "metric": values["metrics"]}
    records = _chosen(store, keys, names)
    registry = load_registry(values["plugin_files"])
    found = reproduced(records, store, registry, values["data_dir"], values["jobs"], quiet=values["quiet"])
    if format_ == "json":
        print(json.dumps([_row(each) for each in found], indent=1))
    else:
        _show(found)
        timed = sum(each.holds and rests_on_a_clock(each.stored) for each in found)
        same = sum(each.verdict == "identical" for each in found)
        of_timed = f", {timed} equal within their error, as timings can be" if timed else ""
        print(f"\n{same} of {len(records)} identical{of_timed}")
    if len(found) < len(records):
        notice(f"interrupted: {len(records) - len(found)} not computed again")
        return _interrupted_exit
    return 0 if all(each.holds for each in found) else _different_exit


def reproduced(
    records: Sequence[Record],
    store: Store,
    registry: Registry,
    data_dir: Path | None,
    jobs: int | None = None,
    *,
    quiet: bool = False,
) -> list[Reproduction]:
    """Compute stored results again in a temporary store, and compare them; those before an interruption are returned.

    Args:
        records: of the results.
        store: of the records.
        registry: the plugins.
        data_dir: the user's folder of data sets, or None.
        jobs: fits to run in parallel; None stands for as many as keep all cores busy.
        quiet: show only warnings and failures.

    Raises:
        UsageError: something that a record names is not there, or not what it was; nothing was run.
        DataError: a data set is missing, incomplete or corrupt.
        StoreError: a result could not be written.
    """
    from harness.cli.progress import reporter_for
    from harness.contracts.engine import Engine
    from harness.data.source import untracked
    from harness.execution.jobs import jobs_for
    from harness.execution.run import Run
    from harness.execution.specification import RunSpecification
    from harness.planning.plan import StoredCells
    from harness.results.environment import describe_commit, describe_environment
    from harness.results.reproduction import compare

    files = tuple(each.file for each in registry.plugins if each.file)
    found: list[Reproduction] = []
    with tempfile.TemporaryDirectory(prefix="harness-reproduce-") as folder:
        runs = []
        for number, those in enumerate(_by_engine(records)):
            engine = Engine.from_identity(those[0].engine)
            environment = describe_environment(prepare_engine(engine))
            _require_same_cells(those, registry, environment.machine)
            request = StoredCells(tuple(each for record in those for each in _trained_together(record, store)))
            specification = RunSpecification(
                request,
                files,
                engine,
                environment,
                describe_commit(),
                Path(folder) / str(number),
                data_dir,
                cache_dir(),
                figures=False,
                timing_rounds=max([2, *(each.n or 0 for each in those if each.machine is not None)]),
            )
            runs.append((those, Run(specification, registry, reporter_for(0, quiet=quiet), untracked)))
        for _, run in runs:
            run.prepare()
        for those, run in runs:
            prepare_engine(run.specification.engine)
            with reporter_for(len(run.pending), quiet=quiet) as run.reporter:
                outcome = run.execute(jobs_for(run.tasks, run.context, jobs))
            found += [compare(each, store, run.store) for each in those if each.cell_key in outcome.records]
            if outcome.interrupted:
                break
    return found


def record_with(key: str, store: Store) -> Record:
    """Return the record of a cell, by its key or the unique beginning of it.

    Raises:
        UsageError: there is none, or there are several; or the cell failed, so that there is no result.
    """
    records = {record.cell_key: record for record in store.records()}
    if not records:
        raise no_results(store.root)
    begin = [record for name, record in records.items() if key and name.startswith(key)]
    if not begin:
        raise UsageError(f"no result in {store.root} has a key that begins with {key!r}")
    if len(begin) > 1:
        listed = "".join(f"\n  {_named(each)}" for each in begin[:_many])
        more = f"\n  and {len(begin) - _many} more" if len(begin) > _many else ""
        raise UsageError(f"{len(begin)} results in {store.root} have keys that begin with {key!r}:{listed}{more}")
    (record,) = begin
    if not record.is_finished:
        raise UsageError(f"{_named(record)} failed ({record.reason}): there is no result to compare with")
    return record


def _chosen(store: Store, keys: Sequence[str], names: Mapping[str, Sequence[str]]) -> list[Record]:
    """Return the records that the arguments name.

    Raises:
        UsageError: nothing is named, or something that is not there.
    """
    if keys and any(names.values()):
        raise UsageError("give keys, or --dataset, --metric and --models; not both")
    if keys:
        return list({record.cell_key: record for record in (record_with(key, store) for key in keys)}.values())
    if not any(names.values()):
        raise UsageError("name results: give the key of one, or --dataset and --metric for all rows of a board")
    records = [record for record in shown_records(store) if record.is_finished]
    if not records:
        raise nothing_shown(store)
    found = selected(records, names, store.root)
    if not found:
        raise UsageError(f"no result in {store.root} has all of these names")
    return found


def _by_engine(records: Iterable[Record]) -> list[list[Record]]:
    """Group records by what a whole process has: the device, the threads, and whether it is deterministic."""
    groups: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[tuple(record.engine[name] for name in ("device", "threads", "deterministic"))].append(record)
    return list(groups.values())


def _require_same_cells(records: Iterable[Record], registry: Registry, machine: str) -> None:
    """Check that each record's cell would be the same cell now.

    Raises:
        UsageError: one would not; the message says why.
    """
    from harness.planning.plan import cell_from

    for record in records:
        try:
            cell = cell_from(record, registry, machine)
        except UsageError as error:
            raise UsageError(f"{_named(record)} cannot be computed again: {error}") from None
        if cell.key == record.cell_key:
            continue
        by_time = "seconds" in (record.budget or {})
        why = "its budget is a time on another machine" if by_time else "this version gives the cell another key"
        raise UsageError(f"{_named(record)} cannot be computed again: {why}")


def _trained_together(record: Record, store: Store) -> list[Record]:
    """Return the record, with those of the seeds that were trained as one model with it, if any, in their order."""
    described = store.fit(record.fit_key) if record.engine["path"] == "vectorized" else None
    seeds: Sequence[int] = (described or {}).get("group") or [record.seed]
    return [replace(record, seed=seed) for seed in seeds]


def _named(record: Record) -> str:
    return f"{record.cell_key[:12]} ({_fit(record)}, {name_of_component(record.metric)})"


def _fit(record: Record) -> str:
    return f"{name_of_component(record.model)} on {name_of_component(record.dataset)}, seed {record.seed}"


def _row(found: Reproduction) -> dict[str, Any]:
    return {
        "key": found.stored.cell_key,
        **{kind: name_of_component(getattr(found.stored, kind)) for kind in ("dataset", "model", "metric")},
        "seed": found.stored.seed,
        "verdict": found.verdict,
        "stored": found.stored.value,
        "again": found.again.value,
        "differences": found.differences,
        "environment": found.environment,
        "not compared": found.not_compared,
    }


def _show(results: Sequence[Reproduction]) -> None:
    from rich.table import Table

    console = output_console()
    table = Table(box=None, header_style="bold")
    for heading in ("key", "result", "metric", "value", "verdict"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("key", "value"))
    for each in results:
        record = each.stored
        value = record.status if record.value is None else f"{record.value:.7g}"
        table.add_row(record.cell_key[:12], _fit(record), name_of_component(record.metric), value, each.verdict)
    console.print(table)
    for each in results:
        if each.differences:
            console.print(f"\n{_named(each.stored)}: {each.verdict}", soft_wrap=True)
            for line in each.differences:
                console.print(f"  {line}", soft_wrap=True)
    for heading, lines in (
        ("not compared", [line for each in results for line in each.not_compared]),
        ("other than before", [line for each in results for line in each.environment]),
    ):
        different = list(dict.fromkeys(lines))
        for line in different[:_many]:
            console.print(f"{heading}: {line} ({lines.count(line)} of {len(results)} results)", soft_wrap=True)
        if more := len(different[_many:]):
            console.print(f"{heading}: {more} more, which --format json lists")
