"""Results that are hidden from boards, or removed: what is left by versions of a plugin that nobody needs any more.

hidden.json         the keys of hidden cells; their records stay
records.jsonl.bak   the records before the last removal
in-use.lock         locked by runs, so that no record is removed while they write others
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.atomic import replacing
from harness.contracts.events import Record
from harness.errors import StoreError, UsageError
from harness.results.store import Store


def shown_records(store: Store) -> list[Record]:
    """Return the records that boards show: the latest of every cell that is not hidden.

    Raises:
        StoreError: the records cannot be read.
    """
    hidden = hidden_cells(store)
    return [record for record in store.records() if record.cell_key not in hidden]


def hidden_cells(store: Store) -> set[str]:
    """Return the keys of hidden cells; none, with a warning, if they cannot be read."""
    path = hidden_file(store)
    try:
        return set(map(str, json.loads(path.read_text())))
    except (FileNotFoundError, NotADirectoryError):
        return set()
    except (OSError, ValueError, TypeError):
        store.warn(f"{path} cannot be read; nothing is hidden")
        return set()


def hide(store: Store, keys: Collection[str]) -> None:
    """Hide cells from boards.

    Raises:
        StoreError: the folder cannot be written to.
    """
    _write_hidden(store, hidden_cells(store) | set(keys))


def unhide(store: Store, keys: Collection[str]) -> None:
    """Show hidden cells again.

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
    path = store.records_file
    copy = path.with_name(f"{path.name}.bak")
    with _alone(store), _writing(store):
        shutil.copyfile(path, copy)
        kept = [line for line in path.read_bytes().splitlines(keepends=True) if _cell_of(line) not in keys]
        with replacing(path) as temporary:
            temporary.write_bytes(b"".join(kept))
    unhide(store, keys)
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
def _alone(store: Store) -> Iterator[None]:
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
    how = [record.seed, record.budget, record.engine, record.machine, record.split, record.evaluation_seed]
    return json.dumps([named, how], sort_keys=True)


def hidden_file(store: Store) -> Path:
    """Return the file of the keys of hidden cells; it exists once something was hidden."""
    return store.root / "hidden.json"


def _write_hidden(store: Store, keys: set[str]) -> None:
    with _writing(store), replacing(hidden_file(store)) as temporary:
        temporary.write_text(json.dumps(sorted(keys), indent=1))


@contextmanager
def _writing(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write under {store.root}: {error.strerror}. The records are as before.") from error
