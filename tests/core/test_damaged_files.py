"""A file of a store that is torn, empty, gone, of a newer version or another's is named, and the rest can be used."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from whole_store import everything, filled, kinds

from harness.data.source import untracked
from harness.errors import StoreError
from harness.results.checksums import with_checksum
from harness.results.store import Store
from harness.results.verification import verify


def tear(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scramble(path: Path) -> None:
    path.write_bytes(bytes(reversed(path.read_bytes())))


def be_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


damages: list[Callable[[Path], None]] = [tear, empty, scramble, Path.unlink, be_a_folder]

# What belongs to a file, by the beginning of its name in ``everything``; the rest must be as before.
parts = {
    "records": ("shown", "records", "values"),
    "values": ("values",),
    "fits": ("fit one", "weights one", "samples one"),
    "weights": ("weights one", "samples one"),
    "samples": ("samples one",),
    "figures": ("figures one",),
    "digests of figures": ("figures one",),
    "checkpoints": ("checkpoint",),
    "environments": ("environment",),
    "hidden cells": ("shown",),
    "titles": ("shown",),
}
# What need not be there: figures had no digests once, a checkpoint is removed in the end, and nothing need be hidden or
# renamed.
optional = ("digests of figures", "checkpoints", "hidden cells", "titles")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("whole") / "runs").root


def problems(root: Path) -> list[str]:
    """Return what ``harness store verify`` finds."""
    return [damage.problem for damage in verify(Store(root), untracked).damage]


@pytest.mark.parametrize("damage", damages, ids=lambda each: each.__name__)
@pytest.mark.parametrize("kind", kinds)
def test_a_damaged_file_is_named_and_the_rest_is_as_before(
    whole: Path, tmp_path: Path, kind: str, damage: Callable[[Path], None]
) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    expected, _ = everything(whole)
    path = sorted((tmp_path / "runs").glob(kinds[kind]))[0]
    damage(path)
    if kind == "records" and damage is be_a_folder:
        with pytest.raises(StoreError, match=f"cannot read {path}: Is a directory"):
            everything(tmp_path / "runs")
        return
    found, seen = everything(tmp_path / "runs")
    others = {name: value for name, value in expected.items() if not name.startswith(parts[kind])}
    assert {name: found.get(name) for name in others} == others
    name = str(path).removesuffix(".sha256")
    is_gone = damage is Path.unlink
    if not (is_gone and kind in optional):
        assert any(name in line for line in problems(tmp_path / "runs")), "verify does not find it"
    # A file that is gone can be noticed only if another one names it.
    if not is_gone or kind in ("records", "values", "weights", "samples"):
        assert any(name in line for line in seen) or found == expected
        assert found == expected or seen


@pytest.mark.parametrize("kind", ["values", "fits", "weights", "samples", "figures", "checkpoints", "environments"])
def test_a_file_in_the_place_of_another_is_found(whole: Path, tmp_path: Path, kind: str) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    path, *_ = sorted((tmp_path / "runs").glob(kinds[kind]))
    others = sorted(set((tmp_path / "runs").glob(kinds[kind].replace("one", "*"))) - {path})
    place = others[0] if others else path.with_stem("f" * 24)
    shutil.copyfile(path, place)
    assert any(str(place) in line for line in problems(tmp_path / "runs"))


def test_a_line_of_a_newer_version_is_named_and_kept(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    path = tmp_path / "runs" / "records.jsonl"
    first, *others = path.read_text().splitlines()
    newer = json.loads(first) | {"schema": 99, "invented": [1]}
    del newer["checksum"]
    path.write_text("\n".join([with_checksum(json.dumps(newer)), *others, ""]))
    found, seen = everything(tmp_path / "runs")
    assert len(found["records"]) == 2
    assert f"{path}, line 1: written by a newer version; left out" in seen
    assert problems(tmp_path / "runs") == []


def test_a_store_can_be_moved_linked_and_used_from_another_folder(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, _ = everything(whole)
    shutil.copytree(whole, tmp_path / "before" / "runs")
    (tmp_path / "before").rename(tmp_path / "after")
    (tmp_path / "link").symlink_to(tmp_path / "after" / "runs")
    monkeypatch.chdir(tmp_path / "after")
    for root in (Path("runs"), tmp_path / "link", Path("..") / "link"):
        assert everything(root) == (expected, [])
        assert problems(root) == []


def test_a_clock_that_was_set_back_hides_no_result(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "runs")
    for path in (tmp_path / "runs").rglob("*"):
        os.utime(path, (2_000_000_000, 2_000_000_000))
    assert everything(tmp_path / "runs") == everything(whole)
    assert problems(tmp_path / "runs") == []
