"""The store: everything that a run keeps on disk, written so that nothing is lost if something fails.

    records.jsonl            one line per finished cell, appended, flushed and synced
    fits/<fit key>/          weights.safetensors, fit.json, samples drawn during training, and figures/*.png
    values/<cell key>.npz    per-example values with example ids, for paired comparisons
    environments/<id>.json   software and machine
    checkpoints/<key>.pt     the state of a fit or a measurement that is not finished

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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.atomic import replacing
from harness.contracts.events import Record, Values, fields_of_schema_1, schema
from harness.errors import StoreError, show_warning

if TYPE_CHECKING:
    from torch import Tensor

_attempts = 10


class Store:
    """The results under one folder.

    Args:
        root: the folder, which need not exist to be read.
        warn: shows the user one line about something that cannot be read.
    """

    def __init__(self, root: Path, warn: Callable[[str], None] = show_warning) -> None:
        self.root = root
        self.warn = warn

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
        latest: dict[str, Record] = {}
        for number, line in enumerate(self._lines(), start=1):
            record = self._parse(number, line)
            if record is None:
                continue
            before = latest.get(record.cell_key)
            if before is None or _age(record) >= _age(before):
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
                self.warn(f"{self.records_file}, line {number}: written by a newer version; left out")
                return None
            return record_from(fields)
        except (ValueError, TypeError, KeyError):
            self.warn(f"{self.records_file}, line {number}: not a readable record; left out")
            return None

    def append(self, record: Record, values: Values | None = None) -> None:
        """Write a record, after its per-example values if any, and sync both to disk.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        with self._writing("the record of a cell"):
            self.root.mkdir(parents=True, exist_ok=True)
            if values is not None:
                self._write_values(record.cell_key, values)
            line = json.dumps(_finite(dataclasses.asdict(record)), allow_nan=False)
            with self.records_file.open("ab") as file:
                # This line must not be appended to one that an earlier crash has cut short.
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
        """Return the per-example values of a cell, or None if it has none.

        Raises:
            StoreError: they are damaged.
        """
        import numpy as np

        try:
            with (self.root / "values" / f"{cell_key}.npz").open("rb") as file, np.load(file) as arrays:
                return Values(arrays["ids"], arrays["values"])
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise StoreError(f"the per-example values of cell {cell_key} cannot be read: {error}") from error

    def fit(self, fit_key: str) -> dict[str, Any] | None:
        """Return the description of a fit, or None if it has to be trained."""
        path = self.root / "fits" / fit_key / "fit.json"
        try:
            return dict(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self.warn(f"{path} cannot be read; the model is trained again")
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
        """Return the samples that were kept during training, by epoch; none if they are missing or damaged."""
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

        final = self.root / "fits" / fit_key
        with self._writing("a fitted model"):
            final.parent.mkdir(parents=True, exist_ok=True)
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
        """Return the checkpoint file of fits that are trained together, or of a cell that is measured."""
        name = keys[0] if len(keys) == 1 else f"{keys[0]}-and-{len(keys) - 1}-more"
        return self.root / "checkpoints" / f"{name}.pt"

    def checkpoint_files(self, key: str) -> list[Path]:
        """Return the checkpoint files that exist of a fit, alone or the first of several, or of a cell."""
        return sorted((self.root / "checkpoints").glob(f"{key}*.pt"))

    def write_environment(self, identifier: str, description: Mapping[str, Any]) -> None:
        """Write the environment of a run, once.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """
        path = self.root / "environments" / f"{identifier}.json"
        if not path.exists():
            with self._writing("the environment"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as temporary:
                    temporary.write_text(json.dumps(description, indent=1))

    def environment(self, identifier: str) -> dict[str, Any] | None:
        """Return the description of an environment, or None if it cannot be read."""
        try:
            return dict(json.loads((self.root / "environments" / f"{identifier}.json").read_text()))
        except (OSError, ValueError):
            return None

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


def _age(record: Record) -> tuple[bool, str]:
    return record.is_finished, record.ended or ""


def record_from(fields: dict[str, Any]) -> Record:
    """Build a record from its JSON fields; those that an older schema lacks have their defaults.

    Raises:
        KeyError: a field that every schema has is missing.
        TypeError: a field is unknown or missing.
    """
    if fields["schema"] == 1 and "diagnostics" in fields:
        before = fields["diagnostics"]
        fields = fields | {name: before[key] for name, key in fields_of_schema_1.items() if key in before}
    sequences = {name: tuple(fields.get(name, ())) for name in ("samples", "group_values")}
    return Record(**{**fields, **sequences})


def _put_in_place(folder: Path, final: Path) -> None:
    """Rename a folder to ``final``, replacing one that may exist and in which another run may be writing."""
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
    """Replace infinities and NaN, which JSON cannot represent, by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return value
