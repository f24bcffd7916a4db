"""What has a name in a store is on disk, so that a power failure leaves no empty or half a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from stored_results import described_fit
from versions import cell

from harness.contracts.events import Values
from harness.results.checkpoint import FileCheckpoint
from harness.results.curation import hide, write_titles
from harness.results.store import Store


class Disk:
    """Notes which files and folders were synced, and what was not when it got its name."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.synced: dict[int, tuple[int, int]] = {}  # the size and the time of change of each, by inode
        self.early: list[str] = []  # what got its name before it was synced
        self.renamed_in: set[Path] = set()
        self.synced_after: set[int] = set()
        fsync, rename, replace = os.fsync, os.rename, os.replace

        def synced(handle: int) -> None:
            fsync(handle)
            found = os.fstat(handle)
            self.synced[found.st_ino] = (found.st_size, found.st_mtime_ns)
            self.synced_after.add(found.st_ino)

        def named(call: Callable[..., None]) -> Callable[..., None]:
            def rename_(source: os.PathLike[str], target: os.PathLike[str]) -> None:
                if not Path(target).name.startswith("."):  # nothing is lost with what is put aside
                    self.early += [str(path) for path in self._within(Path(source)) if not self._is_synced(path)]
                    self.renamed_in.add(Path(target).parent)
                    self.synced_after.discard(Path(target).parent.stat().st_ino)
                call(source, target)

            return rename_

        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "rename", named(rename))
        monkeypatch.setattr(os, "replace", named(replace))

    def _within(self, path: Path) -> list[Path]:
        return [path, *path.rglob("*")] if path.is_dir() else [path]

    def _is_synced(self, path: Path) -> bool:
        found = path.stat()
        return self.synced.get(found.st_ino) == (found.st_size, found.st_mtime_ns)

    @property
    def folders_not_synced(self) -> list[str]:
        """The folders in which something got a name that may be lost."""
        return [str(path) for path in self.renamed_in if path.stat().st_ino not in self.synced_after]


def write_fit(store: Store) -> None:
    store.write_fit("f", described_fit(), {"w": torch.zeros(9)}, {1: torch.zeros(2)})


def write_record(store: Store) -> None:
    record, values = cell(0, values=np.arange(5.0))
    store.append(record, values)


writes: dict[str, Callable[[Store], object]] = {
    "fit": write_fit,
    "fit in place of another": lambda store: (write_fit(store), write_fit(store)),
    "record with values": write_record,
    "figure": lambda store: store.write_figure("f", "a", b"a picture"),
    "environment": lambda store: store.write_environment("e", {"python": "3"}),
    "checkpoint": lambda store: FileCheckpoint(store.checkpoint_file(["f"]), print).save({"w": torch.ones(3)}, "1"),
    "hidden cells": lambda store: (write_record(store), hide(store, {store.records()[0].cell_key})),
    "titles": lambda store: (write_record(store), write_titles(store, {"a" * 24: "My model"})),
}


@pytest.mark.parametrize("name", writes)
def test_files_and_folders_are_on_disk_before_they_get_their_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    writes[name](Store(tmp_path / "new" / "runs"))
    assert disk.renamed_in
    assert disk.early == []
    assert disk.folders_not_synced == []
    new_folders = [path for path in (tmp_path / "new").rglob("*") if path.is_dir()]
    assert [str(path) for path in (tmp_path, *new_folders) if path.stat().st_ino not in disk.synced] == [
        str(path) for path in new_folders if not any(path.iterdir())
    ]


def test_the_file_of_records_is_on_disk_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    store = Store(tmp_path / "runs")
    for value in (1.0, 2.0):
        store.append(cell(0, value)[0], Values(np.arange(2), np.ones(2)))
        assert disk._is_synced(store.records_file)
        assert store.root.stat().st_ino in disk.synced
