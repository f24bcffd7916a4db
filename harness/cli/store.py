"""``harness store``: whether a store is what was written, what no record needs, and stores united."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from harness.cli.data import show_bar
from harness.cli.options import PathType, runs_option
from harness.cli.output import notice, warn
from harness.cli.stored import no_results
from harness.errors import UsageError
from harness.results.store import Store
from harness.words import counted

_damaged_exit = 1
_many = 5  # problems of one kind in a merge; more are counted


@click.group(epilog="Example:  harness store verify")
def store() -> None:
    """Check stored results for damage, drop what no record needs, or unite the results of several folders."""


@store.command()
@runs_option
def verify(runs: Path) -> int:
    """Compare every record, weight file, value file and figure with the digest kept when it was written.

    The exit code is 1 if something is damaged.
    """
    from harness.results.verification import verify as verify_store

    found = verify_store(_existing(runs), show_bar)
    of_a_kind: dict[tuple[str, str], list[str]] = {}
    for each in found.damage:
        of_a_kind.setdefault((each.meaning, each.remedy), []).append(each.problem)
    for (meaning, remedy), problems in of_a_kind.items():
        print(*problems, f"  what it means: {meaning}", f"  what to do: {remedy}", sep="\n")
    if found.without_digest:
        notice(f"written before digests were kept, so only their form was checked: {found.without_digest}")
    if found.damage:
        print(f"damaged: {len(found.damage)}; checked: {found.checked}")
        return _damaged_exit
    print(f"nothing is damaged; checked: {found.checked}")
    return 0


@store.command()
@runs_option
@click.option("--yes", is_flag=True, help="Drop it.")
def gc(runs: Path, yes: bool) -> None:
    """Show what no record needs: leftovers of interrupted writing, fits and values without a record, checkpoints of
    finished work, and damaged lines of records. With --yes, drop it.

    A fit without a record may have been trained by a run that was interrupted before it measured anything; another run
    would use it. If lines are dropped, the records before are kept in records.jsonl.bak.
    """  # noqa: D205 -- click shows it as one paragraph
    from harness.execution.limits import in_bytes
    from harness.results.garbage import drop, find_garbage

    in_store = _existing(runs)
    found, damaged = drop(in_store) if yes else find_garbage(in_store)
    for each in found:
        print(f"{each.path}  {in_bytes(each.size)}  {each.why}")
    for number in damaged:
        print(f"{in_store.records_file}, line {number}  not a readable record")
    if damaged:
        notice("fits and values without a record were kept: a damaged line may need them")
    if not found and not damaged:
        print("every file is needed")
        return
    size = in_bytes(sum(each.size for each in found))
    count = len(found) + len(damaged)
    print(f"dropped: {count} ({size})" if yes else f"not needed: {count} ({size}); --yes drops them")


@store.command()
@click.argument("sources", nargs=-1, required=True, type=PathType(file_okay=False), metavar="RUNS [RUNS...]")
@runs_option
def merge(sources: tuple[Path, ...], runs: Path) -> int:
    """Add the results in the folders RUNS to those in --runs; RUNS are only read.

    What is damaged is not added, and named. The exit code is then 1.
    """
    from harness.atomic import require_writable
    from harness.results.merging import merge as merge_stores

    for source in sources:
        if source.resolve() == runs.resolve():
            raise UsageError(f"{source} is the folder of --runs itself; name other folders")
    stores = [_existing(source) for source in sources]
    require_writable(runs, "--runs")
    found = merge_stores(Store(runs, warn), stores, show_bar)
    of_a_kind: dict[tuple[Path, str], list[str]] = {}
    for each in found.refused:
        of_a_kind.setdefault((each.store, each.kind), []).append(each.problem)
    for (folder, kind), problems in of_a_kind.items():
        for problem in problems[:_many]:
            warn(f"not merged: {problem}")
        if more := len(problems[_many:]):
            command = shlex.join(["harness", "store", "verify", "--runs", str(folder)])
            warn(f"not merged: {counted(more, f'more {kind}')}; '{command}' names all")
    print(f"added: {found.records} records and {found.fits} fits; there already: {found.known} records")
    return _damaged_exit if found.refused else 0


def _existing(runs: Path) -> Store:
    """Return the store in a folder.

    Raises:
        UsageError: the folder has neither records nor fits.
    """
    if not (runs / "records.jsonl").exists() and not (runs / "fits").exists():
        raise no_results(runs)
    return Store(runs, warn)
