"""The store: everything that a run keeps on disk, written so that nothing is lost if something fails.

    records.jsonl            one line per finished cell, appended, flushed and synced
    fits/<fit key>/          weights.safetensors, fit.json, samples drawn during training, and figures/*.png
    values/<cell key>.npz    per-example values with example ids, for paired comparisons
    environments/<id>.json   software and machine
    checkpoints/<key>.pt     the state of a fit or a measurement that is not finished
    timings/<name>/          a store with the records of each round, of timings that are not finished

What is written is synced before it gets its name, and has a checksum (``harness.results.checksums``) that is compared
when it is read: ``fit.json`` has the digests of the tensors beside it, a record that of its per-example values, and
``figures/<name>.png.sha256`` that of a figure. Files written before version 0.4 have none.

Reading it imports neither torch nor safetensors.
"""

from __future__ import annotations

import dataclasses
import errno
import gc
import hashlib
import io
import itertools
import json
import marshal
import math
import operator
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.atomic import append_lines, create_folder, replacing, sync_file, sync_folder, temporary_folder
from harness.contracts.events import Record, Values, fields_of_schema_1, schema
from harness.errors import StoreError, show_warning
from harness.planning.identity import hash_of
from harness.results.checksums import (
    DamagedError,
    digest_of,
    digest_of_file,
    intact_line,
    object_from,
    value_in,
    with_checksum,
)
from harness.results.validation import (
    check_of_field,
    defaults_of_record,
    is_key,
    names_of_record,
    problem_of_fit,
    problem_of_record,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

_attempts = 10
_with_digests = 4  # the first schema whose records have the digest of their per-example values
differs = "differs from what was written"
no_records = "has no records, although there are values that were measured"


def _places(*names: str) -> tuple[int, ...]:
    return tuple(map(names_of_record.index, names))


_checks = [check_of_field(name) for name in names_of_record]
_setters = [vars(Record)[name].__set__ for name in names_of_record]
_lists = {name for name, value in defaults_of_record.items() if value == ()}
_described = _places("dataset", "model", "metric", "budget", "engine")
_cell_key, _status, _value, _diagnostics, _digest = _places(
    "cell_key", "status", "value", "diagnostics", "values_digest"
)
# Texts that many records have in common.
_often_equal = _places(
    *("fit_key", "machine", "counted", "unit", "measure", "warning", "contradiction", "limits", "timing_group"),
    *("environment", "commit", "started", "ended"),
)
_most_kept, _longest_kept = 20_000, 2_000  # descriptions; characters of one


class Line(NamedTuple):
    """A line of ``records.jsonl``: its place from 1, and its record, or why there is none.

    ``is_newer`` says that a newer version wrote it.
    """

    number: int
    content: bytes
    record: Record | None = None
    problem: str | None = None
    is_newer: bool = False

    @property
    def is_damaged(self) -> bool:
        """Whether no version can read it."""
        return self.record is None and not self.is_newer


class Store:
    """The results under one folder.

    Args:
        root: the folder, which need not exist to be read.
        warn: shows the user one line about something that cannot be read; each line is shown once.
    """

    def __init__(self, root: Path, warn: Callable[[str], None] = show_warning) -> None:
        self.root = root
        self._warn = warn
        self._warned: set[str] = set()
        self._ids: NDArray[np.int64] | None = None  # of the examples of the values that were read last

    def warn(self, line: str) -> None:
        """Show the user a line, unless it was shown before."""
        if line not in self._warned:
            self._warned.add(line)
            self._warn(line)

    @property
    def records_file(self) -> Path:
        """The file of records."""
        return self.root / "records.jsonl"

    def records(self) -> list[Record]:
        """Return the latest record of every cell, in the order of their first lines.

        The latest is the one that ended last, or that of the later line if both ended in the same second. A finished
        record is not displaced by a later failure. Lines that cannot be read are left out with a warning.

        Raises:
            StoreError: the file exists but cannot be read.
        """
        found = []
        with _no_garbage_collection():
            for line in self.lines():
                if line.record is None:
                    self.warn(f"{self.records_file}, line {line.number}: {line.problem}; left out")
                else:
                    found.append(line.record)
        if not found and self.has_lost_records():
            self.warn(f"{self.records_file} {no_records}")
        return latest(found)

    def has_lost_records(self) -> bool:
        """Return whether there are values of several cells, which are written just before their records.

        Those of one cell are left by a run that was interrupted in between.
        """
        return len(list(itertools.islice(self.root.glob("values/[!.]*.npz"), 2))) > 1

    def records_size(self) -> int:
        """Return the size of the file of records in bytes."""
        try:
            return self.records_file.stat().st_size
        except OSError:
            return 0

    def records_since(self, size: int) -> tuple[list[Record], int]:
        """Return the records that were written since the file had a size, and its size now, up to a whole line.

        Lines that cannot be read are left out.

        Raises:
            StoreError: the file exists but cannot be read.
        """
        if self.records_size() <= size:
            return [], size
        try:
            with self.records_file.open("rb") as file:
                file.seek(size)
                content = file.read()
        except OSError as error:
            raise StoreError(f"cannot read {self.records_file}: {error.strerror}") from error
        whole = content[: content.rfind(b"\n") + 1]
        read = RecordReader()
        lines = (read.line(0, line) for line in whole.split(b"\n") if line.strip())
        return [line.record for line in lines if line.record is not None], size + len(whole)

    def lines(self) -> Iterator[Line]:
        """Yield every line that is not empty.

        Raises:
            StoreError: the file exists but cannot be read.
        """
        read = RecordReader()
        try:
            with self.records_file.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield read.line(number, line.removesuffix(b"\n"))
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"cannot read {self.records_file}: {error.strerror}") from error

    def append(self, record: Record, values: Values | None = None) -> Record:
        """Write a record, after its per-example values if any, sync both to disk, and return what was written.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        with self._writing("the record of a cell"):
            digest = None if values is None else self._write_values(record.cell_key, values)
            written = dataclasses.replace(record, values_digest=digest)
            self.append_lines([line_of(written)])
            return written

    def append_lines(self, lines: Sequence[bytes]) -> None:
        """Append lines, without their ends, and sync them to disk; all of them, or none if this fails.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        with self._writing("records"):
            append_lines(self.records_file, lines)

    def _write_values(self, cell_key: str, values: Values) -> str:
        """Write per-example values, and return the digest of the file."""
        import numpy as np

        path = self.values_file(cell_key)
        create_folder(path.parent)
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                np.savez(file, ids=values.ids, values=values.values)
            return digest_of_file(temporary)

    def values_file(self, cell_key: str) -> Path:
        """Return the file of the per-example values of a cell, which need not exist."""
        return self.root / "values" / f"{cell_key}.npz"

    def values(self, record: Record) -> Values | None:
        """Return the per-example values of a cell, or None if it has none.

        Raises:
            StoreError: they are damaged or missing.
        """
        content = self.content_of_values(record)
        if content is None:
            return None
        try:
            found = _values_in(content)
        except Exception as error:  # numpy raises many kinds for damaged files
            raise StoreError(f"{self.values_file(record.cell_key)} cannot be read: {error}") from error
        if self._ids is None or not _is_same(self._ids, found.ids):
            self._ids = found.ids
        return Values(self._ids, found.values)  # the rows of a board share their ids

    def check_values(self, record: Record) -> None:
        """Check the per-example values of a cell, if it has any.

        Raises:
            StoreError: they are damaged or missing.
        """
        if record.values_digest is None:
            self.values(record)
        else:
            self.content_of_values(record)

    def content_of_values(self, record: Record) -> bytes | None:
        """Return the content of the file of per-example values, or None if the cell has none.

        Raises:
            StoreError: it is not what was written with the record, or is missing.
        """
        if record.values_digest is None and record.schema >= _with_digests:
            return None
        path = self.values_file(record.cell_key)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            if record.values_digest is None:
                return None
            raise StoreError(f"{path} is missing") from error
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        if record.values_digest is not None and digest_of(content) != record.values_digest:
            raise StoreError(f"{path} {differs}")
        return content

    def fit_folder(self, fit_key: str) -> Path:
        """Return the folder of a fit, which need not exist."""
        return self.root / "fits" / fit_key

    def fit(self, fit_key: str) -> dict[str, Any] | None:
        """Return the description of a fit, or None if it has to be trained."""
        try:
            return self.read_fit(fit_key)
        except StoreError as error:
            self.warn(f"{error}; the model is trained again")
            return None

    def is_fitted(self, fit_key: str) -> bool:
        """Return whether a fit is stored with its weights, or without any since it diverged."""
        described = self.fit(fit_key)
        if described is None or described["status"] != "ok":
            return described is not None
        return (self.fit_folder(fit_key) / "weights.safetensors").exists()

    def read_fit(self, fit_key: str) -> dict[str, Any] | None:
        """Return the description of a fit, or None if there is none.

        Raises:
            StoreError: it is damaged.
        """
        path = os.path.join(self.root, "fits", fit_key, "fit.json")  # noqa: PTH118 -- called for each of many fits
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                described = object_from(file.read(), fit_key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except DamagedError as error:
            raise StoreError(f"{path} cannot be used: {error}") from error
        problem = problem_of_fit(described)
        if problem is not None:
            raise StoreError(f"{path} cannot be used: {problem}")
        return described

    def weights(self, fit_key: str) -> dict[str, Tensor]:
        """Return the stored weights of a fit, by name.

        Raises:
            StoreError: they are missing or damaged.
        """
        return self._tensors(fit_key, "weights.safetensors")

    def snapshots(self, fit_key: str) -> dict[int, Tensor]:
        """Return the samples that were kept during training, by epoch; none if they are missing or damaged."""
        path = self.fit_folder(fit_key) / "snapshots.safetensors"
        try:
            if not path.exists() and path.name not in (self.read_fit(fit_key) or {}).get("digests", {}):
                return {}
            found = self._tensors(fit_key, path.name)
            return {int(epoch): found[epoch] for epoch in sorted(found, key=int)}
        except (StoreError, ValueError) as error:
            self.warn(f"{error}; figures are drawn without these samples")
            return {}

    def check_tensors(self, fit_key: str, name: str) -> None:
        """Check a file of tensors of a fit; one without a digest is only opened.

        Raises:
            StoreError: it is damaged or missing.
        """
        from safetensors import SafetensorError, safe_open

        path = self.fit_folder(fit_key) / name
        digest = (self.read_fit(fit_key) or {}).get("digests", {}).get(name)
        try:
            if digest is None:
                with safe_open(path, framework="numpy"):
                    pass
            elif digest_of_file(path) != digest:
                raise StoreError(f"{path} {differs}")
        except FileNotFoundError as error:
            raise StoreError(f"{path} is missing") from error
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except SafetensorError as error:
            raise StoreError(f"{path} cannot be read: {error}") from error

    def _tensors(self, fit_key: str, name: str) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        self.check_tensors(fit_key, name)
        path = self.fit_folder(fit_key) / name
        try:
            return load_file(path)
        except Exception as error:  # safetensors and torch raise many kinds for damaged files
            raise StoreError(f"{path} cannot be read: {error}") from error

    def fit_keys(self) -> list[str]:
        """Return the keys of all fits."""
        return sorted(path.parent.name for path in self.root.glob("fits/[!.]*/fit.json"))

    def figures_folder(self, fit_key: str) -> Path:
        """Return the folder of a fit's figures."""
        return self.fit_folder(fit_key) / "figures"

    def figures(self, fit_key: str) -> list[Path]:
        """Return the figures of a fit, without damaged ones."""
        found = sorted(self.figures_folder(fit_key).glob("*.png"))
        problems = {path: problem_of_figure(path) for path in found}
        for path, problem in problems.items():
            if problem is not None:
                self.warn(f"{path} {problem}; left out, 'harness figures' draws it again")
        return [path for path in found if problems[path] is None]

    def write_figure(self, fit_key: str, name: str, png: bytes) -> Path:
        """Write a figure beside its fit and return its path.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        path = self.figures_folder(fit_key) / f"{name}.png"
        with self._writing("a figure"):
            for attempts_left in reversed(range(_attempts)):
                try:
                    create_folder(path.parent)
                    digest_file = digest_file_of(path)
                    digest_file.unlink(missing_ok=True)  # a figure without a digest is not a damaged one
                    with replacing(path) as temporary:
                        temporary.write_bytes(png)
                    with replacing(digest_file) as temporary:
                        temporary.write_text(f"{digest_of(png)}  {path.name}\n")
                    break
                except (FileNotFoundError, FileExistsError):  # another run has replaced the same fit meanwhile
                    if not attempts_left:
                        raise
        return path

    def write_fit(
        self,
        fit_key: str,
        description: Mapping[str, Any],
        weights: Mapping[str, Tensor] | None,
        snapshots: Mapping[int, Tensor] | None = None,
    ) -> None:
        """Write a fit, whole or not at all.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        from safetensors.torch import save_file

        final = self.fit_folder(fit_key)
        with self._writing("a fitted model"):
            create_folder(final.parent)
            temporary = temporary_folder(final.parent)
            try:
                digests = {}
                named = {str(epoch): samples for epoch, samples in (snapshots or {}).items()}
                for tensors, file in ((weights, "weights.safetensors"), (named or None, "snapshots.safetensors")):
                    if tensors is not None:
                        # Copies, since safetensors refuses tensors that share memory, as tied weights do.
                        copies = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
                        save_file(copies, temporary / file)
                        sync_file(temporary / file)
                        digests[file] = digest_of_file(temporary / file)
                described = json.dumps(_finite({**description, "digests": digests}), indent=1)
                (temporary / "fit.json").write_text(with_checksum(described, fit_key))
                sync_file(temporary / "fit.json")
                put_in_place(temporary, final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise

    def checkpoint_file(self, keys: Sequence[str]) -> Path:
        """Return the checkpoint file of fits that are trained together, or of a cell that is measured."""
        name = keys[0] if len(keys) == 1 else f"{keys[0]}-and-{len(keys) - 1}-more"
        return self.root / "checkpoints" / f"{name}.pt"

    def checkpoint_files(self, key: str) -> list[Path]:
        """Return the checkpoint files that exist of a fit, alone or the first of several, or of a cell."""
        return sorted((self.root / "checkpoints").glob(f"{key}*.pt"))

    def rounds_of(self, keys: Iterable[str]) -> Store:
        """Return the store that keeps the rounds of unfinished timings, which need not exist.

        Args:
            keys: of the cells that are timed together, and of the environment.
        """
        name = hashlib.sha256(" ".join(sorted(keys)).encode()).hexdigest()[:16]
        return Store(self.root / "timings" / name, self.warn)

    def all_rounds(self) -> list[Store]:
        """Return the stores of the rounds of all unfinished timings."""
        return [Store(path, self.warn) for path in sorted(self.root.glob("timings/[!.]*"))]

    def environment_file(self, identifier: str) -> Path:
        """Return the file that describes an environment, which need not exist."""
        return self.root / "environments" / f"{identifier}.json"

    def write_environment(self, identifier: str, description: Mapping[str, Any]) -> None:
        """Write the environment of a run, once.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        path = self.environment_file(identifier)
        if not path.exists():
            with self._writing("the environment"):
                create_folder(path.parent)
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(description, indent=1))

    def environment(self, identifier: str) -> dict[str, Any] | None:
        """Return the description of an environment, or None if it is missing or damaged."""
        path = self.environment_file(identifier)
        problem = problem_of_environment(path)
        if problem is not None:
            self.warn(f"{path} {problem}; left out")
            return None
        return object_from(path.read_bytes()) if path.exists() else None

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        from safetensors import SafetensorError

        try:
            yield
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"cannot write {what} under {self.root}: {getattr(error, 'strerror', None) or error}. "
                "Every cell that was reported before is stored."
            ) from error


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Search for no garbage while many objects are built that are all kept: it would take half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def latest(records: Iterable[Record]) -> list[Record]:
    """Return the latest record of every cell; see ``Store.records``."""
    found: dict[str, Record] = {}
    for record in records:
        before = found.get(record.cell_key)
        if before is None or _age(record) >= _age(before):
            found[record.cell_key] = record
    return list(found.values())


class RecordReader:
    """Reads lines of records. What many of them have in common is decoded and checked once, and kept in memory once."""

    def __init__(self) -> None:
        from msgspec.structs import astuple

        from harness.results.line_decoder import line_decoder

        self._decode, self._values_of = line_decoder().decode, astuple
        self._described: dict[int, dict[bytes, Any]] = {place: {} for place in _described}  # by their JSON
        self._texts: dict[int, dict[str, str]] = {place: {} for place in _often_equal}
        self._shared: dict[bytes, Any] = {}  # descriptions, by what they are serialized to

    def line(self, number: int, content: bytes) -> Line:
        """Return a line of records, from its number and its content without the end."""
        try:
            record = self._typed_record(content)
            if record is None:
                fields = object_from(content)
                if type(fields.get("schema")) is int and fields["schema"] > schema:
                    return Line(number, content, problem="written by a newer version", is_newer=True)
                for name in map(names_of_record.__getitem__, _described):
                    if name in fields:
                        fields[name] = self._sharing(fields[name])
                record = record_from(fields)
            return Line(number, content, record)
        except ValueError as error:
            return Line(number, content, problem=f"not a readable record: {error}")

    def _typed_record(self, content: bytes) -> Record | None:
        """Return the record of a sound line; None for a line that must be read with ``json``, or is not sound."""
        body = intact_line(content)
        if body is None:
            return None
        try:
            values = list(self._values_of(self._decode(body + b"}")))
            for place, known in self._described.items():
                json_text = bytes(values[place])
                values[place] = known[json_text] if json_text in known else self._description(place, json_text)
            diagnostics = bytes(values[_diagnostics])
            values[_diagnostics] = {} if diagnostics == b"{}" else _checked(_diagnostics, diagnostics)
        except (ValueError, RecursionError):
            return None
        for place, texts in self._texts.items():
            text = values[place]
            if text is not None:
                if (found := texts.get(text)) is None:
                    if not _checks[place](text):
                        return None
                    found = texts[text] = text
                values[place] = found
        is_sound = is_key(values[_cell_key]) and _checks[_digest](values[_digest])
        return _record(values) if is_sound and (values[_value] is not None or values[_status] != "ok") else None

    def _description(self, place: int, text: bytes) -> Any:
        """Return what a component, a budget or an engine is, and keep it for the next line that has the same."""
        value = self._sharing(_checked(place, text))
        if len(text) <= _longest_kept:
            if len(self._described[place]) >= _most_kept:
                self._described[place].clear()
            self._described[place][text] = value
        return value

    def _sharing(self, value: Any) -> Any:
        """Return a description, or an equal one of an earlier record."""
        try:
            return self._shared.setdefault(marshal.dumps(value, 2), value)
        except ValueError:  # it is nested too deeply
            return value


def line_of(record: Record) -> bytes:
    """Return the line of a record, without its end: JSON, with a checksum as the last field."""
    return with_checksum(json.dumps(_finite(dataclasses.asdict(record)), allow_nan=False)).encode()


def problem_of_environment(path: Path) -> str | None:
    """Return in words that the description of an environment is not the one that its name is the hash of."""
    try:
        return None if hash_of(object_from(path.read_bytes())) == path.stem else differs
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except DamagedError as error:
        return f"cannot be used: {error}"


def problem_of_figure(path: Path) -> str | None:
    """Return in words that a figure is not what was written; None if it is, or has no digest."""
    try:
        return None if digest_of_file(path) == digest_file_of(path).read_text().split()[0] else differs
    except FileNotFoundError:
        return None
    except (OSError, ValueError, IndexError):
        return "has a digest that cannot be read"


def digest_file_of(figure: Path) -> Path:
    """Return the file that has the digest of a figure."""
    return figure.with_name(f"{figure.name}.sha256")


def _is_same(a: NDArray[np.int64], b: NDArray[np.int64]) -> bool:
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _values_in(content: bytes) -> Values:
    import numpy as np

    with np.load(io.BytesIO(content)) as arrays:
        ids, values = arrays["ids"], arrays["values"]
    if ids.ndim != 1 or ids.shape != values.shape or ids.dtype.kind != "i" or values.dtype.kind not in "fiu":
        raise ValueError(f"ids are {ids.dtype} {ids.shape}, and values {values.dtype} {values.shape}")
    return Values(ids, values)


def _age(record: Record) -> tuple[bool, str]:
    return record.is_finished, record.ended or ""


def record_from(fields: dict[str, Any]) -> Record:
    """Build a record from its JSON fields; those that an older schema lacks have their defaults.

    Raises:
        ValueError: a field has a wrong type or value, is unknown or missing.
    """
    if fields.get("schema") == 1 and isinstance(before := fields.get("diagnostics"), dict):
        fields = fields | {name: before[key] for name, key in fields_of_schema_1.items() if key in before}
    problem = problem_of_record(fields)
    if problem is not None:
        raise ValueError(problem)
    complete = {**defaults_of_record, **fields}
    return _record([tuple(complete[name]) if name in _lists else complete[name] for name in names_of_record])


def _checked(place: int, text: bytes) -> Any:
    """Return the value of a field of a record from its JSON.

    Raises:
        ValueError: it is not JSON, or must not be the value of this field.
    """
    value = value_in(text)
    if not _checks[place](value):
        raise ValueError(f"{names_of_record[place]} is {value!r}")
    return value


def _record(values: Sequence[Any]) -> Record:
    """Build a record from the values of all fields, in order."""
    record = object.__new__(Record)
    # The constructor of a frozen dataclass takes as long as reading all fields from JSON.
    deque(map(operator.call, _setters, itertools.repeat(record), values), maxlen=0)
    return record


def put_in_place(folder: Path, final: Path) -> None:
    """Rename a folder, whose files are synced, to ``final``.

    A folder of that name is replaced, also if another run is writing in it.
    """
    sync_folder(folder)
    aside = final.with_name(f".replaced-{folder.name}")
    for attempts_left in reversed(range(_attempts)):
        with suppress(FileNotFoundError):
            final.rename(aside)
        try:
            folder.rename(final)
            sync_folder(final.parent)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST) or not attempts_left:
                raise
        finally:
            _remove(aside)


def _remove(folder: Path) -> None:
    for _ in range(_attempts):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _finite(value: Any) -> Any:
    """Replace infinities and NaN by null, and halves of surrogate pairs by escapes: they cannot be written."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {_finite(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
