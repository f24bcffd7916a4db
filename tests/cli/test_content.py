"""Results are identified by the content of the data: what is measured on other files is another result."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness import DataSource
from harness.contracts.engine import Engine
from harness.planning.plan import Request, build_plan
from harness.registry import Registry
from harness.results.store import Store

if TYPE_CHECKING:
    from tests.conftest import Call

# A data set that reads one file of the data folder, which holds 180 vectors of 30 bytes.
plugin = """
import hashlib
import torch
import harness

class Bytes:
    def __init__(self, config): pass
    def file(self, source):
        return source.data_dir / "bytes.bin"
    def content_in(self, source):
        digest = source.digest([self.file(source)])
        return None if digest == {published!r} else {content}
    def load(self, source):
        values = torch.frombuffer(bytearray(self.file(source).read_bytes()), dtype=torch.uint8).reshape(3, 60, 30) / 255
        return harness.Data.from_tensors(*(harness.Examples(each) for each in values))

@harness.hookimpl
def harness_datasets():
    return [harness.DatasetSpec("bytes", Bytes, "vectors in a file")]
"""
content = 'harness.Content(digest, f"the file of bytes in {source.data_dir} is not the published one")'
published, other = bytes(range(200)) * 27, bytes(range(1, 201)) * 27


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a data folder with the published file, and leave the plugin beside it."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "bytes.bin"
    file.write_bytes(published)
    digest = DataSource(None, tmp_path, print).digest([file])
    (tmp_path / "plugin.py").write_text(plugin.format(published=digest, content=content))
    return tmp_path / "data"


def words(metric: str = "reconstruction-mse") -> tuple[str, ...]:
    what = ("--models", "pca", "--set", "pca.latent_dim=2", "--metric", metric, "--dataset", "bytes", "--no-figures")
    return ("run", *what, "--plugin", "plugin.py", "--data-dir", "data")


def replace_keeping_its_age(file: Path, new: bytes) -> None:
    """Write a file as ``cp -p`` would from one of the same age."""
    before = file.stat()
    file.write_bytes(new)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_other_files_in_the_place_of_the_published_ones_are_another_data_set(
    call: Call, folder: Path, tmp_path: Path
) -> None:
    done = call(*words())
    assert done.code == 0, done.err
    assert "content" not in done.out + done.err
    replace_keeping_its_age(folder / "bytes.bin", other)

    preview = call(*words(), "--dry-run")
    assert "1 to compute from 1 fit" in preview.out
    changed = call(*words())
    warned = "is not the published one; results are kept apart as bytes (content "
    for each in (preview, changed):
        assert warned in " ".join(each.err.split())

    first, second = Store(tmp_path / "runs").records()
    assert "content" not in first.dataset
    assert first.fit_key != second.fit_key
    digest = second.dataset["content"]
    assert f"bytes content={digest[:8]}" in (tmp_path / "leaderboards" / "bytes.md").read_text()
    rows = json.loads(call("leaderboard", "--format", "json").out)
    assert {row["board"] for row in rows} == {0, 1}

    assert "all stored already" in call(*words(), "--dry-run").out
    replace_keeping_its_age(folder / "bytes.bin", published)
    assert "all stored already" in call(*words(), "--dry-run").out


def test_a_stored_fit_is_not_measured_on_other_data(call: Call, folder: Path, tmp_path: Path) -> None:
    assert call(*words()).code == 0
    (folder / "bytes.bin").write_bytes(other)
    assert call(*words("parameters")).code in (0, 4)
    assert len(Store(tmp_path / "runs").fit_keys()) == 2
    skipped = call("figures", "--plugin", "plugin.py", "--data-dir", "data")
    assert "was fitted on other files of bytes than those that are there now" in " ".join(skipped.err.split())


def test_files_that_change_after_the_plan_end_the_run(call: Call, folder: Path, tmp_path: Path) -> None:
    text = (tmp_path / "plugin.py").read_text()
    changing = "        self.file(source).write_bytes(bytes(5400))\n        values ="
    (tmp_path / "plugin.py").write_text(text.replace("        values =", changing))
    done = call(*words())
    assert done.code == 2
    assert "the files of bytes have changed since the run was planned; run the command again" in done.err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("digest", "content_in() returned str; return harness.Content"),
        ("1 / 0", "content_in() failed: ZeroDivisionError"),
    ],
)
def test_a_wrong_content_in_is_refused(
    refused: Callable[..., str], folder: Path, tmp_path: Path, returned: str, message: str
) -> None:
    (tmp_path / "plugin.py").write_text(plugin.format(published="", content=returned))
    assert message in refused(*words())


@pytest.mark.full_mnist
@pytest.mark.parametrize(("name", "files"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_published_files_change_no_key_and_each_others_files_do(
    data_dir: Path, tmp_path: Path, name: str, files: str
) -> None:
    request = Request(("pca",), ("reconstruction-mse",), (name, f"binarized-{name}"))
    links = tmp_path / "data"
    links.mkdir()
    (links / files).symlink_to(data_dir / ("MNIST" if files == "FashionMNIST" else "FashionMNIST"))
    without, with_published, with_others = (
        [cell.key for cell in build_plan(request, Registry.load(), Engine(), "a machine", source).cells]
        for source in (None, DataSource(data_dir, tmp_path, print), DataSource(links, tmp_path, print))
    )
    assert without == with_published
    assert set(without).isdisjoint(with_others)


def test_the_shipped_data_are_the_published_ones(tmp_path: Path) -> None:
    request = Request(("pca",), ("reconstruction-mse",), ("mnist-10k",))
    (dataset,) = build_plan(request, Registry.load(), Engine(), "a machine", DataSource(None, tmp_path, print)).datasets
    assert dataset.content is None
    assert not dataset.differs_from_published
