"""Stores united in one: all their records, each once, with the files that these need."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.atomic import create_folder, replacing, sync_file, sync_folder, temporary_folder
from harness.contracts.events import Record, name_of_component
from harness.errors import StoreError
from harness.results.curation import alone, hidden_cells, hide, is_taken, title_key, titles, write_titles
from harness.results.store import (
    Store,
    digest_file_of,
    latest,
    problem_of_environment,
    problem_of_figure,
    put_in_place,
)
from harness.results.verification import problem_of_fit

if TYPE_CHECKING:
    from harness.data.source import Track


@dataclass(frozen=True)
class Refused:
    """Something that was not merged.

    Args:
        store: the folder of the store that it is in.
        kind: what it is, such as ``fit``.
        problem: the file, and that it is damaged, missing or of a newer version; or the title, which is taken.
    """

    store: Path
    kind: Literal["record", "fit", "figure", "environment", "title"]
    problem: str


@dataclass
class Merged:
    """What was merged.

    Args:
        records: how many records were added.
        known: how many were there already.
        fits: how many fits were added, or replaced since they were damaged.
        refused: what was not merged.
    """

    records: int = 0
    known: int = 0
    fits: int = 0
    refused: list[Refused] = field(default_factory=list)


def merge(target: Store, sources: Sequence[Store], track: Track) -> Merged:
    """Add all records of other stores, with their fits, values and figures; the other stores are only read.

    If a cell has several records, all are kept; the latest one counts, as ever, and the values are those of that one.
    What was merged before is not added again, so an interrupted merge can be repeated. Checkpoints stay where they are.

    Args:
        target: the store that is added to; it is created if need be.
        sources: other stores.
        track: shows the progress.

    Raises:
        UsageError: a run is using the target.
        StoreError: the target cannot be written to, or the records of a store cannot be read.
    """
    found = Merged()
    try:
        create_folder(target.root)
        with alone(target):
            for source in sources:
                _merge_one(target, source, found, track)
    except OSError as error:
        raise StoreError(f"cannot write {error.filename or target.root}: {error.strerror}") from error
    return found


def _merge_one(target: Store, source: Store, found: Merged, track: Track) -> None:
    hidden = hidden_cells(source)
    here = [line for line in target.lines() if line.record is not None]
    known = {line.content for line in here}
    contents, records = [], []
    for line in source.lines():
        if line.record is None:
            problem = f"{source.records_file}, line {line.number}: {line.problem}"
            found.refused.append(Refused(source.root, "record", problem))
            continue
        records.append(line.record)
        contents.append(line.content)
    refused = _cells_with_damaged_values(source, latest(records), found, track)
    kept = [pair for pair in zip(contents, records, strict=True) if pair[1].cell_key not in refused]
    new = {content: record for content, record in kept if content not in known}
    found.known += len(kept) - len(new)
    found.records += len(new)
    counting = {
        record.cell_key: record
        for record in latest([*(line.record for line in here if line.record), *(record for _, record in kept)])
    }
    _copy_fits(target, source, found, track)
    _copy_environments(target, source, found)
    for _, record in track(kept, "copying values", len(kept)):
        if counting[record.cell_key] == record:
            _copy_values(target, source, record)
    target.append_lines(list(new))
    newly_hidden = hidden & {record.cell_key for record in new.values()}
    if newly_hidden:
        hide(target, newly_hidden)
    _add_titles(target, source, list(new.values()), found)


def _add_titles(target: Store, source: Store, added: Sequence[Record], found: Merged) -> None:
    """Give models whose records were added the titles that they have in the source, unless another model has them."""
    given, here = titles(source), titles(target)
    if not given:
        return
    records = target.records()
    names = {title_key(record.model): name_of_component(record.model) for record in added}
    newly_named = {}
    for key, title in given.items():
        if key not in names or key in here:
            continue
        if is_taken(title, {key}, records, here):
            problem = f"the title {title!r} of {names[key]}: another model of {target.root} has this name"
            found.refused.append(Refused(source.root, "title", problem))
        else:
            newly_named[key] = title
    if newly_named:
        write_titles(target, newly_named | here)


def _cells_with_damaged_values(source: Store, records: Sequence[Record], found: Merged, track: Track) -> set[str]:
    """Return the keys of cells whose values are damaged, from their latest records; earlier ones have none any more."""
    refused = set()
    for record in track(records, f"reading {source.root}", len(records)):
        try:
            source.check_values(record)
        except StoreError as error:
            problem = f"the record of cell {record.cell_key}: {error}"
            found.refused.append(Refused(source.root, "record", problem))
            refused.add(record.cell_key)
    return refused


def _copy_values(target: Store, source: Store, record: Record) -> None:
    content = source.content_of_values(record)
    path = target.values_file(record.cell_key)
    if content is None or (path.exists() and path.read_bytes() == content):
        return
    create_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _copy_fits(target: Store, source: Store, found: Merged, track: Track) -> None:
    keys = source.fit_keys()
    for key in track(keys, "copying fits", len(keys)):
        if target.fit_folder(key).exists() and problem_of_fit(target, key) is None:
            continue
        problem = problem_of_fit(source, key)
        if problem is not None:
            found.refused.append(Refused(source.root, "fit", problem))
            continue
        create_folder(target.fit_folder(key).parent)
        copy = temporary_folder(target.fit_folder(key).parent)
        try:
            _copy_files(source, key, copy, found)
            put_in_place(copy, target.fit_folder(key))
        except BaseException:
            shutil.rmtree(copy, ignore_errors=True)
            raise
        found.fits += 1


def _copy_files(source: Store, fit_key: str, copy: Path, found: Merged) -> None:
    """Copy the files of a fit, without figures that are damaged, and sync them."""
    folder = source.fit_folder(fit_key)
    for path in sorted([*folder.glob("[!.]*.json"), *folder.glob("[!.]*.safetensors")]):
        shutil.copyfile(path, copy / path.name)
        sync_file(copy / path.name)
    for path in sorted(folder.glob("figures/[!.]*.png")):
        if (problem := problem_of_figure(path)) is not None:
            found.refused.append(Refused(source.root, "figure", f"{path} {problem}"))
            continue
        (copy / "figures").mkdir(exist_ok=True)
        for each in (path, digest_file_of(path)):
            if each.exists():
                shutil.copyfile(each, copy / "figures" / each.name)
                sync_file(copy / "figures" / each.name)
    if (copy / "figures").exists():
        sync_folder(copy / "figures")


def _copy_environments(target: Store, source: Store, found: Merged) -> None:
    for path in sorted(source.root.glob("environments/[!.]*.json")):
        copy = target.root / "environments" / path.name
        if copy.exists() and problem_of_environment(copy) is None:
            continue
        if (problem := problem_of_environment(path)) is not None:
            found.refused.append(Refused(source.root, "environment", f"{path} {problem}"))
            continue
        create_folder(copy.parent)
        with replacing(copy) as temporary:
            shutil.copyfile(path, temporary)
