"""Images of one's own: which files are found in a folder, in which order, and what identifies them."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from harness import DataSource
from harness_datasets.folder import Folder
from harness_datasets.image_files import image_files


def write(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), grey).save(path)


def content(folder: Path) -> str:
    return Folder.content(Folder.Config(str(folder))).digest


def test_files_are_in_the_order_of_folders_and_names(tmp_path: Path) -> None:
    names = ["a/x.JPG", "a b/y.webp", "a.png", "b.jpeg", "c.png/z.png"]
    for name in reversed(names):
        write(tmp_path / name)
    write(tmp_path / "a" / ".hidden.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    assert [str(path.relative_to(tmp_path)) for path in image_files(tmp_path)] == names


def test_the_current_folder_has_the_same_content_as_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        write(tmp_path / "some" / f"{number}.png", number)
    monkeypatch.chdir(tmp_path)
    assert content(Path()) == content(tmp_path) == content(Path("some/.."))


def test_a_change_in_a_linked_folder_changes_the_content(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        write(tmp_path / "own" / split / "0.png")
    write(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "own" / "test").symlink_to(tmp_path / "elsewhere")
    before = content(tmp_path / "own")
    write(tmp_path / "elsewhere" / "0.png", grey=255)
    assert content(tmp_path / "own") != before
    data = Folder(Folder.Config(str(tmp_path / "own"))).load(DataSource(None, tmp_path / "cache", print))
    assert [int(split.stored.max()) for split in data.splits.values()] == [0, 0, 255]


def test_each_folder_is_read_once_if_links_form_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "one" / "0.png")
    (tmp_path / "one" / "again").symlink_to(tmp_path)
    assert image_files(tmp_path) == [tmp_path / "one" / "0.png"]
