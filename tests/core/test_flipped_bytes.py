"""A flipped byte in any file of a store is noticed when the file is read, or changes nothing."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from versions import cell
from whole_store import everything, filled, kinds

from harness.results.store import Store

trials = 45  # for each kind of file


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("whole") / "runs").root


def test_what_is_written_is_read_without_a_warning(whole: Path) -> None:
    found, seen = everything(whole)
    assert seen == []
    assert len(found["records"]) == 3
    assert len(found["shown"]) == 2
    assert found["weights one"] != found["weights two"]


@pytest.mark.parametrize("kind", kinds)
def test_a_flipped_byte_is_noticed_or_changes_nothing(whole: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    path = sorted((tmp_path / "runs").glob(kinds[kind]))[0]
    before, drawn = path.read_bytes(), random.Random(kind)
    expected, _ = everything(whole)
    noticed = 0
    for _ in range(trials):
        place = drawn.randrange(len(before))
        changed = bytearray(before)
        changed[place] ^= drawn.randrange(1, 256)
        path.write_bytes(changed)
        found, seen = everything(tmp_path / "runs")
        assert seen or found == expected, f"byte {place} of {path.name}: {before[place]} became {changed[place]}"
        assert all(str(path).removesuffix(".sha256") in line or "hidden.json" in line for line in seen)
        noticed += bool(seen)
    assert noticed > 0.9 * trials


@pytest.mark.parametrize("name", ["weights.safetensors", "snapshots.safetensors", "fit.json", "figures/a.png"])
def test_a_file_of_another_fit_in_its_place_is_noticed(whole: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    fits = tmp_path / "runs" / "fits"
    shutil.copyfile(fits / "two" / name, fits / "one" / name)
    _, seen = everything(tmp_path / "runs")
    assert any(str(fits / "one" / name) in line for line in seen)


def test_values_of_another_cell_and_values_that_are_gone_are_noticed(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    first, second, third = sorted((tmp_path / "runs" / "values").iterdir())
    shutil.copyfile(second, first)
    third.unlink()
    _, seen = everything(tmp_path / "runs")
    assert sorted(seen) == sorted([f"{first} differs from what was written", f"{third} is missing"])


def test_values_that_a_later_record_of_the_cell_has_not_are_not_used(tmp_path: Path) -> None:
    store = Store(tmp_path)
    record, values = cell(0, values=np.arange(5.0))
    store.append(record, values)
    assert store.values(store.append(record)) is None
    (latest,) = store.records()
    assert store.values(latest) is None
