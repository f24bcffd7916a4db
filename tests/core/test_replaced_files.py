"""A file that is written whole replaces a file, and nothing else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from stored_results import described_fit
from versions import cell, store_of

from harness.atomic import replacing
from harness.data.source import untracked
from harness.results.merging import merge
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

commands = (("report", "--output", "out.jsonl"), ("baseline", "save", "out.jsonl"))


def write(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("new")


def test_a_file_is_written_to_the_target_of_a_link(tmp_path: Path) -> None:
    target, link, far = tmp_path / "there" / "target", tmp_path / "link", tmp_path / "far"
    target.parent.mkdir()
    link.symlink_to("there/target")
    far.symlink_to("link")
    for path in (link, far):  # the target is missing at first
        write(path)
        assert (path.is_symlink(), target.read_text()) == (True, "new")
        target.write_text("old")
    assert sorted(target.parent.iterdir()) == [target]


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def permissions(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_umask_says_who_may_read_a_file_and_a_fit(umask: int, tmp_path: Path) -> None:
    write(tmp_path / "file")
    with replacing(tmp_path / "samples") as temporary:
        save_file({"samples": torch.zeros(2)}, temporary)
    assert [permissions(tmp_path / name) for name in ("file", "samples")] == [0o666 & ~umask] * 2
    store, other = Store(tmp_path / "runs"), Store(tmp_path / "other")
    store.append(cell(fit_key="f")[0])
    store.write_fit("f", described_fit(), {"w": torch.zeros(2)})
    merge(other, [store], untracked)
    assert [permissions(each.fit_folder("f")) for each in (store, other)] == [0o777 & ~umask] * 2


@pytest.mark.parametrize("linked", [False, True])
def test_what_is_no_regular_file_stays(tmp_path: Path, linked: bool) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    for name in ("fifo", "folder", "loop"):
        path = tmp_path / name
        if linked:
            path = tmp_path / f"link of {name}"
            path.symlink_to(name)
        before = path.lstat()
        with pytest.raises(OSError, match="a folder" if name == "folder" else "not a regular file"):
            write(path)
        assert path.lstat() == before


@pytest.mark.parametrize("words", commands, ids=" ".join)
def test_commands_write_to_the_target_of_a_link(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    store_of(tmp_path / "runs", [cell()])
    (tmp_path / "out.jsonl").symlink_to("target")
    assert call(*words).code == 0
    assert (tmp_path / "out.jsonl").is_symlink()
    assert (tmp_path / "target").stat().st_size > 0


@pytest.mark.parametrize("words", commands, ids=" ".join)
def test_commands_refuse_a_fifo(call: Call, tmp_path: Path, words: tuple[str, ...]) -> None:
    store_of(tmp_path / "runs", [cell()])
    os.mkfifo(tmp_path / "out.jsonl")
    done = call(*words)
    assert (done.code, "out.jsonl is not a regular file; name a file" in done.err) == (2, True)
    assert (tmp_path / "out.jsonl").is_fifo()
