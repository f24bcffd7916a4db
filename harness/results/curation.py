"""What boards show of the results: some are hidden, some models have a title of the user's, and some are removed.

hidden.json         the keys of hidden cells; their records stay
titles.json         the titles of models, by keys of their names and settings
records.jsonl.bak   the records before the last removal
in-use.lock         locked by runs, so that no record is removed while they write others
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.atomic import create_folder, replacing
from harness.contracts.events import Record, name_of_component
from harness.errors import StoreError, UsageError
from harness.planning.identity import hash_of
from harness.results.checksums import has_checksum, object_from, with_checksum
from harness.results.store import Store
from harness.results.validation import is_key

longest_title = 60  # characters
_Read = TypeVar("_Read")


def shown_records(store: Store) -> list[Record]:
    """Return the records that boards show: the latest of every cell that is not hidden, with the titles of models.

    Raises:
        StoreError: the records cannot be read.
    """
    hidden, records = hidden_cells(store), store.records()
    unknown = unknown_keys(hidden, records)
    if unknown is not None:
        store.warn(f"{hidden_file(store)} {unknown}")
    return with_titles([record for record in records if record.cell_key not in hidden], store)


def unknown_keys(hidden: Collection[str], records: Sequence[Record]) -> str | None:
    """Return in words that a hidden cell has no record, as after a changed byte; None if each has one."""
    unknown = set(hidden) - {record.cell_key for record in records}
    return f"has the key {min(unknown)}, which no result has: it hides nothing" if unknown else None


def hidden_cells(store: Store) -> set[str]:
    """Return the keys of hidden cells; none, with a warning, if they cannot be read."""
    return _read(read_hidden, store, f"{hidden_file(store)} cannot be read; nothing is hidden") or set()


def read_hidden(store: Store) -> set[str]:
    """Return the keys of hidden cells.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is damaged.
    """
    keys = json.loads(hidden_file(store).read_text())
    if not isinstance(keys, list) or not all(map(is_key, keys)):
        raise ValueError("these are not keys of cells")
    return set(keys)


def hide(store: Store, keys: Collection[str]) -> None:
    """Hide cells from boards, and forget hidden cells that have no record.

    Raises:
        StoreError: the folder cannot be written to.
    """
    _write_hidden(store, hidden_cells(store) | set(keys))


def unhide(store: Store, keys: Collection[str]) -> None:
    """Show hidden cells again, and forget hidden cells that have no record.

    Raises:
        StoreError: the folder cannot be written to.
    """
    _write_hidden(store, hidden_cells(store) - set(keys))


def titles(store: Store) -> dict[str, str]:
    """Return the titles of models, by their ``title_key``; none, with a warning, if they cannot be read."""
    return _read(read_titles, store, f"{titles_file(store)} cannot be read; models have their own names") or {}


def read_titles(store: Store) -> dict[str, str]:
    """Return the titles of models, by their ``title_key``.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: it is damaged.
    """
    content = titles_file(store).read_bytes()
    by_key = object_from(content).get("titles")
    if not isinstance(by_key, dict) or not has_checksum(content):
        raise ValueError("it is not as it was written")
    if not all(is_key(key) and is_title(title) for key, title in by_key.items()):
        raise ValueError("these are not titles of models")
    return by_key


def write_titles(store: Store, by_key: Mapping[str, str]) -> None:
    """Store the titles of models, by their ``title_key``, in place of all others.

    Raises:
        StoreError: the folder cannot be written to.
    """
    with _writing(store), replacing(titles_file(store)) as temporary:
        temporary.write_text(with_checksum(json.dumps({"titles": dict(by_key)}, indent=1, sort_keys=True)))


def unknown_titles(by_key: Mapping[str, str], records: Sequence[Record]) -> str | None:
    """Return in words that a title belongs to no model of the records; None if each belongs to one."""
    unknown = by_key.keys() - {title_key(record.model) for record in records}
    return f"has the key {min(unknown)}, which no model has: it names nothing" if unknown else None


def title_key(model: Mapping[str, Any]) -> str:
    """Return what a title belongs to: the name and the settings of the model of a record, in all versions."""
    return hash_of([model["name"], model["settings"], model.get("content")])


def is_taken(title: str, keys: Collection[str], records: Sequence[Record], by_key: Mapping[str, str]) -> bool:
    """Return whether a title is the name or the title of another model.

    Args:
        title: for models of one name.
        keys: of these models.
        records: of all models.
        by_key: the titles that models have.
    """
    models = {id(record.model): record.model for record in records}.values()  # many records share one
    names = {title_key(model): name_of_component(model) for model in models}
    own = {names.get(key) for key in keys}
    return any(title in (name, by_key.get(key)) for key, name in names.items() if name not in own)


def is_title(value: Any) -> bool:
    """Return whether a value can be the title of a model: one line of text, not too long for a board."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) == len(value) <= longest_title


def with_titles(records: list[Record], store: Store) -> list[Record]:
    """Return records of a store with the titles of their models."""
    by_key = titles(store)
    if not by_key:
        return records
    models: dict[int, Mapping[str, Any]] = {}  # many records share one
    for model in {id(record.model): record.model for record in records}.values():
        title = by_key.get(title_key(model))
        models[id(model)] = model if title is None else {**model, "title": title}
    return [
        record if (model := models[id(record.model)]) is record.model else replace(record, model=model)
        for record in records
    ]


def remove(store: Store, keys: Collection[str]) -> Path:
    """Remove all records of cells, and return the copy of the records before; fits and other files stay.

    Raises:
        UsageError: a run is using the store.
        StoreError: the folder cannot be written to.
    """
    with alone(store):
        copy = keep_lines(store, lambda number, line: _cell_of(line) not in keys)
    unhide(store, keys)
    return copy


def keep_lines(store: Store, is_kept: Callable[[int, bytes], bool]) -> Path:
    """Keep some lines of the records, in a store that nobody else uses, and return the copy of the records before.

    Args:
        store: that has records.
        is_kept: of a line, from its number from 1 and its content.

    Raises:
        StoreError: the folder cannot be written to.
    """
    path = store.records_file
    with _writing(store):
        before = path.read_bytes()
        copy = path.with_name(f"{path.name}.bak")
        with replacing(copy) as temporary:
            temporary.write_bytes(before)
        lines = before.split(b"\n")
        kept = [line for number, line in enumerate(lines, start=1) if line and is_kept(number, line)]
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(line + b"\n" for line in kept))
    return copy


def older(records: Sequence[Record]) -> list[Record]:
    """Return records of cells that another version of the model, metric or data set has measured since."""
    newest: dict[str, Record] = {}
    for record in records:
        key = _without_versions(record)
        if key not in newest or (record.ended or "") >= (newest[key].ended or ""):
            newest[key] = record
    kept = {record.cell_key for record in newest.values()}
    return [record for record in records if record.cell_key not in kept]


@contextmanager
def in_use(store: Store) -> Iterator[None]:
    """Mark a store as used by a run; several runs may use it at once. This waits until no one has it alone."""
    with _locked(store, shared=True):
        yield


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Keep runs out of a store, whose folder exists.

    Raises:
        UsageError: a run is using the store.
    """
    with _locked(store, shared=False) as is_alone:
        if not is_alone:
            raise UsageError(f"a run is using {store.root}; wait until it has ended")
        yield


@contextmanager
def _locked(store: Store, *, shared: bool) -> Iterator[bool]:
    """Lock a store, and yield False if another process has locked it; without file locks nobody can tell."""
    try:
        import fcntl

        if shared:
            create_folder(store.root)
        file = (store.root / "in-use.lock").open("ab")
    except (ImportError, OSError):
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH if shared else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        except OSError:
            yield True
        else:
            yield True


def _cell_of(line: bytes) -> str | None:
    with suppress(ValueError, TypeError, KeyError):
        return str(json.loads(line)["cell_key"])
    return None


def _without_versions(record: Record) -> str:
    named = [(each["name"], each["settings"]) for each in (record.dataset, record.model, record.metric)]
    named.append((record.dataset.get("content"), None))  # other data are not another version of the same
    named.append((record.model.get("weights"), None))  # nor is another file of weights
    how = [record.seed, record.budget, record.engine, record.machine, record.split, record.evaluation_seed]
    return json.dumps([named, how], sort_keys=True)


def hidden_file(store: Store) -> Path:
    """Return the file of the keys of hidden cells; it exists once something was hidden."""
    return store.root / "hidden.json"


def titles_file(store: Store) -> Path:
    """Return the file of the titles of models; it exists once a model was renamed."""
    return store.root / "titles.json"


def _write_hidden(store: Store, keys: set[str]) -> None:
    known = {record.cell_key for record in store.records()}
    with _writing(store), replacing(hidden_file(store)) as temporary:
        temporary.write_text(json.dumps(sorted(keys & known), indent=1))


def _read(read: Callable[[Store], _Read], store: Store, problem: str) -> _Read | None:
    """Return what a function reads from a store; None if there is no file, and with a warning if it is damaged."""
    try:
        return read(store)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        store.warn(problem)
        return None


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write under {store.root}: {error.strerror}. The records are as before.") from error
