"""A baseline: the results of a version in one small file, which can be committed and compared with later.

The file has one JSON object a line: a header with the format, the schema of the records, the commit, the environment
and a digest of everything else, then one cell a line with its record and its per-example values, condensed. It has no
weights.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Any

from harness.atomic import replacing
from harness.contracts.events import Record, Values, schema
from harness.errors import StoreError, UsageError, show_warning
from harness.regression.cells import by_cell
from harness.regression.condensed import Condensed, condense
from harness.results.checksums import digest_of
from harness.results.store import Store, record_from

suffix = ".jsonl"
_format = "harness baseline"
_version = 2  # version 1 has no digest
_remedy = "restore the file, or write it again with 'harness baseline save'"
_left_out = ("traceback", "samples", "diagnostics", "limits", "values_digest")  # bulky, or no part of a comparison


@dataclass(frozen=True)
class Baseline:
    """What a baseline file has.

    Args:
        records: one for each cell and seed, without tracebacks and diagnostics.
        condensed: the per-example values, by the key of the cell.
        commit: of the results, or None if it is not known.
        dirty: whether files differed from the commit.
        environment: the software and the machine, as JSON values, or None.
        counts: what benchmarks count exactly, by benchmark and by what is counted.
    """

    records: list[Record]
    condensed: Mapping[str, Condensed] = field(default_factory=dict)
    commit: str | None = None
    dirty: bool | None = None
    environment: Mapping[str, Any] | None = None
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def values(self, record: Record) -> Condensed | None:
        """Return the condensed per-example values of a record, or None if it has none."""
        return self.condensed.get(record.cell_key)


def save(
    store: Store,
    records: Iterable[Record],
    path: Path,
    note: Callable[[str], None] = lambda line: None,
    counts: Mapping[str, Mapping[str, int]] | None = None,
) -> Sequence[Record]:
    """Write records with their per-example values to a file, which is replaced whole or not at all.

    Timings are left out, since stored timings are never compared, and so are cells of older versions.

    Args:
        store: has the per-example values.
        records: of the store.
        path: of the file; its folder is created if need be.
        note: receives a line if something was left out.
        counts: what benchmarks count exactly, by benchmark and by what is counted.

    Returns:
        The records that were written.

    Raises:
        StoreError: per-example values are damaged, or the file cannot be written.
        UsageError: no record is left.
    """
    saved = [record for cell in by_cell(records, note) for record in cell.by_seed.values()]
    if not saved:
        raise UsageError("there are no results to save, apart from timings")
    newest = max(saved, key=lambda record: record.ended or "")
    lines = (_line_of(record, store.values(record)) for record in saved)
    cells = b"".join(_encoded(line) for line in lines)
    header = {
        "format": _format,
        "version": _version,
        "schema": schema,
        "commit": newest.commit,
        "dirty": newest.dirty,
        "environment": store.environment(newest.environment) if newest.environment else None,
        "counts": dict(counts or {}),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_bytes(_encoded({**header, "digest": digest_of(_encoded(header) + cells)}) + cells)
    except OSError as error:
        raise StoreError(f"cannot write the baseline {path}: {error.strerror}") from error
    return saved


def load(path: Path, warn: Callable[[str], None] = show_warning) -> Baseline:
    """Read a baseline. Cells of a newer schema are left out with a warning.

    A damaged baseline is refused: a comparison with what is left of it could pass because a cell is missing.

    Raises:
        UsageError: the file cannot be read, is no baseline, was written by a newer version, or was changed since.
    """
    try:
        first, _, cells = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n")
    except OSError as error:
        raise UsageError(f"cannot read the baseline {path}: {error.strerror}") from error
    header = _parsed(first)
    if header.get("format") != _format or not isinstance(header.get("version"), int):
        raise UsageError(f"{path} is not a baseline; 'harness baseline save' writes one")
    if header["version"] > _version:
        raise UsageError(
            f"{path} was written by a newer version of harness: its format is {header['version']}, and this version "
            f"reads {_version}"
        )
    digest = header.pop("digest", None)
    if header["version"] > 1 and digest != digest_of(_encoded(header) + cells):
        raise UsageError(f"{path} is damaged: it is not what was saved; {_remedy}")
    counts = header.get("counts") or {}
    if not _are_counts(counts):
        raise UsageError(f"{path}, line 1: not readable counts; {_remedy}")
    records, condensed = [], {}
    for number, line in enumerate(cells.split(b"\n"), start=2):
        if not line.strip():
            continue
        fields = _parsed(line)
        try:
            if fields["record"]["schema"] > schema:
                warn(f"{path}, line {number}: written by a newer version; left out")
                continue
            record = record_from(fields["record"])
            if fields.get("values") is not None:
                condensed[record.cell_key] = Condensed.from_json(fields["values"])
            records.append(record)
        except (ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{path}, line {number}: not a readable cell; {_remedy}") from error
    return Baseline(
        records,
        condensed,
        header.get("commit"),
        header.get("dirty"),
        header.get("environment"),
        counts,
    )


def _are_counts(found: Any) -> bool:
    """Whether a JSON value has whole numbers by benchmark and by what is counted."""
    return isinstance(found, dict) and all(
        isinstance(counts, dict) and all(type(count) is int for count in counts.values()) for counts in found.values()
    )


def _line_of(record: Record, values: Values | None) -> dict[str, Any]:
    fields = {
        each.name: getattr(record, each.name)
        for each in dataclasses.fields(record)
        if each.name not in _left_out and getattr(record, each.name) != _default_of(each)
    }
    line: dict[str, Any] = {"record": {**fields, "schema": record.schema}}
    if values is not None and len(values.values):
        line["values"] = condense(record, values).as_json()
    return line


def _default_of(given: dataclasses.Field[Any]) -> Any:
    return given.default if given.default_factory is MISSING else given.default_factory()


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    """Return the JSON object of a line; an empty one if it is none."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
