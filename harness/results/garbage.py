"""What is in a store although no record needs it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError, UsageError
from harness.results.curation import alone, keep_lines
from harness.results.store import Line, Store

_leftovers = (
    ".records.jsonl-*",
    ".records.jsonl.bak-*",
    ".hidden.json-*",
    ".titles.json-*",
    "values/.*",
    "environments/.*",
    "checkpoints/.*",
    "fits/.*",
    "fits/*/figures/.*",
)


@dataclass(frozen=True)
class Garbage:
    """A file or folder that no record needs: its path, why, and its size in bytes."""

    path: Path
    why: str
    size: int


def find_garbage(store: Store) -> tuple[list[Garbage], list[int]]:
    """Return files and folders that no record needs, and the numbers of the lines of damaged records.

    As long as there are damaged lines, or no records at all, what no other record needs is kept, since theirs may need
    it.

    Raises:
        StoreError: the records exist but cannot be read.
    """
    lines = list(store.lines())
    damaged = [line.number for line in lines if line.is_damaged]
    needed, finished = _needed(lines), set()
    for line in lines:
        if line.record is not None and line.record.is_finished:
            finished.add(line.record.cell_key)
    found = [(path, "left by interrupted writing") for path in _left_behind(store)]
    if lines and not damaged:
        found += [(path, "no record has this fit") for path in _others(store, "fits/[!.]*", needed)]
        found += [(path, "no record has these values") for path in _others(store, "values/[!.]*.npz", needed)]
        needed |= {str(_environment_of(store, key)) for key in store.fit_keys()}
        found += [
            (path, "no record or fit has this environment")
            for path in _others(store, "environments/[!.]*.json", needed)
        ]
    for path in store.root.glob("checkpoints/[!.]*.pt"):
        key = path.stem.partition("-and-")[0]
        if key in finished or _is_fitted(store, key):
            found.append((path, "its work is finished"))
    for rounds in store.all_rounds():
        if all(line.record is not None and line.record.cell_key in finished for line in rounds.lines()):
            found.append((rounds.root, "its timings are finished"))
    return [Garbage(path, why, _size(path)) for path, why in sorted(found)], damaged


def drop(store: Store) -> tuple[list[Garbage], list[int]]:
    """Delete what no record needs, and return it; a copy of the records with the damaged lines is kept.

    Raises:
        UsageError: a run is using the store.
        StoreError: the folder cannot be written to.
    """
    with alone(store):
        found, damaged = find_garbage(store)
        try:
            for each in found:
                if each.path.is_dir():
                    shutil.rmtree(each.path)
                else:
                    each.path.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"cannot delete {error.filename}: {error.strerror}") from error
        if damaged:
            numbers = set(damaged)
            keep_lines(store, lambda number, line: number not in numbers)
    return found, damaged


def drop_leftovers(store: Store) -> None:
    """Delete what interrupted writing has left behind, unless a run is using the store or it cannot be deleted."""
    with suppress(UsageError, OSError), alone(store):
        for path in _left_behind(store):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def _left_behind(store: Store) -> Iterator[Path]:
    return (path for pattern in _leftovers for path in list(store.root.glob(pattern)))


def _needed(lines: list[Line]) -> set[str]:
    """Return the keys of cells, fits and environments in all records, also those of newer versions."""
    needed: set[str] = set()
    for line in lines:
        with suppress(ValueError, RecursionError):
            fields = json.loads(line.content)
            if isinstance(fields, dict):
                needed |= {str(fields.get(name)) for name in ("cell_key", "fit_key", "environment")}
    return needed


def _others(store: Store, pattern: str, needed: set[str]) -> Iterator[Path]:
    return (path for path in store.root.glob(pattern) if path.stem not in needed)


def _environment_of(store: Store, fit_key: str) -> str | None:
    with suppress(StoreError):
        return (store.read_fit(fit_key) or {}).get("environment")
    return None


def _is_fitted(store: Store, key: str) -> bool:
    with suppress(StoreError):
        return store.read_fit(key) is not None
    return False


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(each.stat().st_size for each in files if each.is_file())
