"""Results that are hidden from boards, or removed: what is left by versions of a plugin that nobody needs any more.

hidden.json         the keys of hidden cells; their records stay
records.jsonl.bak   the records before the last removal
in-use.lock         locked by runs, so that no record is removed while they write others
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.atomic import replacing
from harness.contracts.events import Record
from harness.errors import StoreError, UsageError
from harness.results.store import Store
from harness.results.validation import is_key


def shown_records(store: Store) -> list[Record]:
    """Return the records that boards show: the latest of every cell that is not hidden.

    Raises:
        StoreError: the records cannot be read.
    """
    hidden, records = hidden_cells(store), store.records()
    unknown = unknown_keys(hidden, records)
    if unknown is not None:
        store.warn(f"{hidden_file(store)} {unknown}")
    return [record for record in records if record.cell_key not in hidden]


def unknown_keys(hidden: Collection[str], records: Sequence[Record]) -> str | None:
    """Return in words that a hidden cell has no record, as after a changed byte; None if each has one."""
    unknown = set(hidden) - {record.cell_key for record in records}
    return f"has the key {min(unknown)}, which no result has: it hides nothing" if unknown else None


def hidden_cells(store: Store) -> set[str]:
    """Return the keys of hidden cells; none, with a warning, if they cannot be read."""
    try:
        return read_hidden(store)
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError):
        store.warn(f"{hidden_file(store)} cannot be read; nothing is hidden")
        return set()


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
    """Mark a store as used by a run; several runs may use it at once."""
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

        file = (store.root / "in-use.lock").open("ab")
    except (ImportError, OSError):
        yield True
        return
    with file:
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
    how = [record.seed, record.budget, record.engine, record.machine, record.split, record.evaluation_seed]
    return json.dumps([named, how], sort_keys=True)


def hidden_file(store: Store) -> Path:
    """Return the file of the keys of hidden cells; it exists once something was hidden."""
    return store.root / "hidden.json"


def _write_hidden(store: Store, keys: set[str]) -> None:
    known = {record.cell_key for record in store.records()}
    with _writing(store), replacing(hidden_file(store)) as temporary:
        temporary.write_text(json.dumps(sorted(keys & known), indent=1))


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write under {store.root}: {error.strerror}. The records are as before.") from error
