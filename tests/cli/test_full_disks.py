"""A disk that becomes full or read-only during a run ends it with one clear line, and tears nothing."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.data.source import untracked
from harness.results.store import Store
from harness.results.verification import verify

if TYPE_CHECKING:
    from tests.conftest import Call


def words(faults: str, *more: str) -> tuple[str, ...]:
    chosen = ("--models", "scaled,pca", "--metric", "reconstruction-mse", "--dataset", "tiny", "--epochs", "2")
    return ("run", "--plugin", faults, *chosen, "--seeds", "2", "--no-figures", *more)


def records(folder: Path) -> list[dict[str, Any]]:
    path = folder / "runs" / "records.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def is_whole(folder: Path) -> bool:
    return verify(Store(folder / "runs", pytest.fail), untracked).damage == []


@pytest.mark.parametrize("limit", [500, 2_000, 4_500])
def test_files_that_may_not_grow_end_a_run_with_one_line(tmp_path: Path, faults: str, limit: int) -> None:
    command = [sys.executable, "-m", "harness", *words(faults, "--jobs", "1")]
    limited = f"import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
    limited += "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limited += f"sys.argv = {command[2:]!r}; from harness.cli import main; main(sys.argv[1:])"
    clean = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
    clean |= {"PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, "-c", limited], cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert len({each["cell_key"] for each in records(tmp_path)}) == len(records(tmp_path)) < 4
    assert is_whole(tmp_path)


@pytest.mark.parametrize(
    ("call_that_fails", "number"),
    [(1, errno.ENOSPC), (4, errno.EROFS), (7, errno.EIO), (10, errno.ENOSPC), (13, errno.EROFS)],
)
def test_a_disk_that_fails_half_way_loses_nothing_and_the_next_run_goes_on(
    call: Call, faults: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, call_that_fails: int
) -> None:
    synced, sync = [0], os.fsync

    def failing(handle: int) -> None:
        synced[0] += 1
        if synced[0] >= call_that_fails:
            raise OSError(number, os.strerror(number))
        sync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        done = call(*words(faults, "--jobs", "1"))
    assert done.code == 3, done.out
    assert os.strerror(number) in done.err
    before = records(tmp_path)
    if (tmp_path / "runs").exists():
        assert is_whole(tmp_path)
    again = call(*words(faults, "--jobs", "1"))
    assert again.code == 0, again.err
    after = records(tmp_path)
    assert after[: len(before)] == before
    assert {each["status"] for each in after} == {"ok"}
    assert len({each["cell_key"] for each in after}) == 4
    assert is_whole(tmp_path)
