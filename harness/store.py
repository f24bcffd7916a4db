"""What a run leaves on disk, so that nothing is lost when something fails.

    records.jsonl            one line a finished cell, appended, flushed and synced
    fits/<fit key>/          weights.safetensors, fit.json, samples seen while training, and figures/*.png
    values/<cell key>.npz    per-example values with example ids, for paired comparisons
    environments/<id>.json   software and machine
    checkpoints/<fit key>.pt the state of a fit that is not done

Reading it imports neither torch nor safetensors.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from harness.errors import StoreError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

schema = 1

finished = ("ok", "n/a", "diverged")
failed = ("error", "out-of-memory", "diverged")

_attempts = 10


@dataclass(frozen=True)
class Record:
    """The outcome of one cell. Values are in ``unit``; seconds are wall-clock."""

    cell_key: str
    fit_key: str
    dataset: Mapping[str, Any]
    model: Mapping[str, Any]
    metric: Mapping[str, Any]
    seed: int
    budget: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    machine: str | None
    split: str
    evaluation_seed: int
    status: str
    reason: str | None = None
    value: float | None = None
    stderr: float | None = None
    n: int | None = None
    counted: str | None = None
    unit: str | None = None
    direction: str | None = None
    measure: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    seconds: float | None = None
    peak_memory: int | None = None
    environment: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    started: str | None = None
    ended: str | None = None
    traceback: str | None = None
    schema: int = schema

    @property
    def is_finished(self) -> bool:
        """Whether the cell need not be computed again: a crash is never taken for a result."""
        return self.status in finished


class Values(NamedTuple):
    """What a metric found for each example: the example's place in its source, and the value; both ``(n,)``."""

    ids: NDArray[np.int64]
    values: NDArray[np.float64]


class Store:
    """The results under one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.problems: list[str] = []

    @property
    def records_file(self) -> Path:
        """The file of records."""
        return self.root / "records.jsonl"

    def prepare(self) -> None:
        """Make the folder, where it can be written to.

        Raises:
            UsageError: it cannot.
        """
        require_writable(self.root, "--runs")
        self.root.mkdir(parents=True, exist_ok=True)

    def records(self) -> list[Record]:
        """Return the last word on every cell, in the order they first ended.

        A finished record is not displaced by a later failure. Lines that cannot be read are left out and told of
        in ``problems``.

        Raises:
            StoreError: the file is there but cannot be read.
        """
        self.problems = []
        latest: dict[str, Record] = {}
        for number, line in enumerate(self._lines(), start=1):
            record = self._parse(number, line)
            if record is None:
                continue
            before = latest.get(record.cell_key)
            if before is None or record.is_finished or not before.is_finished:
                latest[record.cell_key] = record
        return list(latest.values())

    def _lines(self) -> list[bytes]:
        try:
            content = self.records_file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.records_file}: {error.strerror}") from error
        return [line for line in content.split(b"\n") if line.strip()]

    def _parse(self, number: int, line: bytes) -> Record | None:
        try:
            fields = json.loads(line)
            if fields["schema"] > schema:
                self.problems.append(f"{self.records_file}, line {number}: written by a newer version; left out")
                return None
            return Record(**{**fields, "samples": tuple(fields["samples"])})
        except (ValueError, TypeError, KeyError):
            self.problems.append(f"{self.records_file}, line {number}: not a readable record; left out")
            return None

    def append(self, record: Record, values: Values | None = None) -> None:
        """Write a record, after its per-example values if any, and sync both to disk.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        with self._writing("the record of a cell"):
            if values is not None:
                self._write_values(record.cell_key, values)
            line = json.dumps(_finite(dataclasses.asdict(record)), allow_nan=False)
            with self.records_file.open("ab") as file:
                # A line torn by an earlier crash must not swallow this one.
                torn = file.tell() > 0 and not self._ends_in_newline()
                file.write(b"\n" * torn + line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _ends_in_newline(self) -> bool:
        with self.records_file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _write_values(self, cell_key: str, values: Values) -> None:
        import numpy as np

        path = self.root / "values" / f"{cell_key}.npz"
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, ids=values.ids, values=values.values)
            file.flush()
            os.fsync(file.fileno())

    def values(self, cell_key: str) -> Values | None:
        """Return the per-example values of a cell, or None where there are none."""
        import numpy as np

        try:
            with (self.root / "values" / f"{cell_key}.npz").open("rb") as file, np.load(file) as arrays:
                return Values(arrays["ids"], arrays["values"])
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            self.problems.append(f"values of cell {cell_key} cannot be read ({error}); compared without them")
            return None

    def fit(self, fit_key: str) -> dict[str, Any] | None:
        """Return what is known of a fit, or None where it has to be trained."""
        path = self.root / "fits" / fit_key / "fit.json"
        try:
            return dict(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self.problems.append(f"{path} cannot be read; the model is trained again")
            return None

    def weights(self, fit_key: str) -> dict[str, Tensor]:
        """Return the stored weights of a fit, by name.

        Raises:
            StoreError: they are missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.root / "fits" / fit_key / "weights.safetensors"
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path} cannot be read: {error}") from error

    def snapshots(self, fit_key: str) -> dict[int, Tensor]:
        """Return the samples that were kept while training, by epoch; none where they are missing or damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self.root / "fits" / fit_key / "snapshots.safetensors"
        try:
            return {int(epoch): samples for epoch, samples in sorted(load_file(path).items(), key=lambda e: int(e[0]))}
        except (OSError, SafetensorError):
            return {}

    def fit_keys(self) -> list[str]:
        """Return the keys of all fits."""
        return sorted(path.parent.name for path in self.root.glob("fits/[!.]*/fit.json"))

    def figures_folder(self, fit_key: str) -> Path:
        """Return the folder of a fit's figures."""
        return self.root / "fits" / fit_key / "figures"

    def write_figure(self, fit_key: str, name: str, png: bytes) -> Path:
        """Write a figure beside its fit and return its path.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        path = self.figures_folder(fit_key) / f"{name}.png"
        with self._writing("a figure"):
            for attempts_left in reversed(range(_attempts)):
                try:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    with replacing(path) as temporary:
                        temporary.write_bytes(png)
                    break
                except FileNotFoundError:  # another run has put the same fit in place meanwhile
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
        """Write a fit so that it is there whole or not at all.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        from safetensors.torch import save_file

        final = self.root / "fits" / fit_key
        with self._writing("a fitted model"):
            final.parent.mkdir(exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=final.parent))
            try:
                named = {str(epoch): samples for epoch, samples in (snapshots or {}).items()}
                for tensors, file in ((weights, "weights.safetensors"), (named or None, "snapshots.safetensors")):
                    if tensors is not None:
                        # Copies, since safetensors refuses tensors that share memory, as tied weights do.
                        copies = {name: each.detach().cpu().contiguous().clone() for name, each in tensors.items()}
                        save_file(copies, temporary / file)
                (temporary / "fit.json").write_text(json.dumps(_finite(dict(description)), indent=1))
                temporary.chmod(0o755)
                _put_in_place(temporary, final)
            except BaseException:
                shutil.rmtree(temporary, ignore_errors=True)
                raise

    def checkpoint_file(self, keys: Sequence[str]) -> Path:
        """Return the file for the state of fits while they are trained together, or of a cell while it is measured."""
        name = keys[0] if len(keys) == 1 else f"{keys[0]}-and-{len(keys) - 1}-more"
        return self.root / "checkpoints" / f"{name}.pt"

    def write_environment(self, identifier: str, description: Mapping[str, Any]) -> None:
        """Write what a run was computed with, once.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        path = self.root / "environments" / f"{identifier}.json"
        if not path.exists():
            with self._writing("the environment"):
                path.parent.mkdir(exist_ok=True)
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(description, indent=1))

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        from safetensors import SafetensorError

        try:
            yield
        except (OSError, SafetensorError) as error:
            raise StoreError(
                f"cannot write {what} under {self.root}: {getattr(error, 'strerror', None) or error}. "
                "Every cell reported before this is stored."
            ) from error


def require_writable(folder: Path, option: str) -> None:
    """See that a folder can be written to, or that it could be made, and leave nothing behind.

    Raises:
        UsageError: it cannot be made, or nothing can be written in it.
    """
    try:
        # A link that leads nowhere is there too, and no folder can be made in its place.
        there = next(path for path in (folder, *folder.absolute().parents) if path.exists() or path.is_symlink())
        with tempfile.NamedTemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UsageError(
            f"{option} {folder}: cannot be written to ({error.strerror}); name another folder with {option} DIR."
        ) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file's path that takes the place of ``path`` when the block ends well."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _put_in_place(folder: Path, final: Path) -> None:
    """Rename a folder to ``final``, in place of one that may be there, in which another run may be writing."""
    aside = final.with_name(f".replaced-{folder.name}")
    for attempts_left in reversed(range(_attempts)):
        with suppress(FileNotFoundError):
            final.rename(aside)
        try:
            folder.rename(final)
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
    """Replace what JSON has no word for, infinities and not-a-number, by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
