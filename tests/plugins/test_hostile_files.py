"""A file of data or of samples that is damaged, in whatever way, is named in one line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hostile
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from harness import DataError, DataSource
from harness_datasets.folder import Folder
from harness_datasets.idx import MNIST
from harness_datasets.samples import ReadySamples

images = np.random.default_rng(0).integers(0, 256, (3, 5, 4)).astype(np.uint8)


def into_bytes(write: Callable[[io.BytesIO], Any]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def picture(kind: str, **options: Any) -> bytes:
    return into_bytes(lambda file: Image.fromarray(images[0]).save(file, kind, **options))


arrays = {
    ".npy": into_bytes(lambda file: np.save(file, images)),
    ".npz": into_bytes(lambda file: np.savez_compressed(file, samples=images, labels=np.arange(3))),
    ".pt": into_bytes(lambda file: torch.save({"samples": torch.from_numpy(images)}, file)),
    ".safetensors": save({"samples": torch.from_numpy(images)}),
}
pictures = {".png": picture("png"), ".jpg": picture("jpeg"), ".webp": picture("webp", lossless=True)}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Draw a file that is cut short, has other bytes somewhere, or has nothing to do with the whole one."""
    how = draw(st.sampled_from(["cut", "changed", "changed", "other", "longer"]))
    if how == "cut":
        return whole[: draw(st.integers(0, len(whole) - 1))]
    if how == "other":
        return draw(st.binary(max_size=200))
    if how == "longer":
        return whole + draw(st.binary(max_size=20))
    start = draw(st.integers(0, min(len(whole), 150)) | st.integers(0, len(whole)))
    new = draw(st.binary(min_size=1, max_size=4))
    return whole[:start] + new + whole[start + draw(st.integers(0, len(new))) :]


def is_one_line(error: DataError, path: Path) -> bool:
    """Return whether a message names the file, and has no line breaks or control characters."""
    return str(path) in str(error) and str(error).isprintable()


@hostile.tried(60)
@given(data=st.data(), suffix=st.sampled_from(sorted(arrays)))
def test_a_damaged_array_is_named_or_read(data: st.DataObject, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"samples{suffix}"
    path.write_bytes(data.draw(damaged(arrays[suffix])))
    try:
        found = ReadySamples.content(ReadySamples.Config(str(path)))
    except DataError as error:
        assert is_one_line(error, path)
    else:
        assert found.note.isprintable()


@hostile.tried(60)
@given(data=st.data(), suffix=st.sampled_from(sorted(pictures)))
def test_a_damaged_picture_is_named_or_read(data: st.DataObject, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "pictures" / f"picture{suffix}"
    path.parent.mkdir(exist_ok=True)
    for each in path.parent.iterdir():
        each.unlink()
    path.write_bytes(data.draw(damaged(pictures[suffix])))
    try:
        ReadySamples.content(ReadySamples.Config(str(path.parent)))
    except DataError as error:
        assert is_one_line(error, path)


@hostile.tried(30)
@given(data=st.data())
def test_a_damaged_picture_of_a_data_set_is_named_or_read(data: st.DataObject, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    for number in range(10):
        (folder / f"{number}.png").write_bytes(pictures[".png"])
    path = folder / "5.png"
    path.write_bytes(data.draw(damaged(pictures[".png"])))
    try:
        Folder(Folder.Config(str(folder))).load(DataSource(None, tmp_path / "cache", print))
    except DataError as error:
        assert is_one_line(error, path)


def idx(*shape: int, kind: int = 8) -> bytes:
    return bytes([0, 0, kind, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


whole_idx = idx(7, 28, 28) + bytes(7 * 28 * 28)
headers = st.builds(
    lambda kind, shape, rest: idx(*shape, kind=kind) + rest,
    st.integers(0, 255),
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 5), max_size=4),
    st.binary(max_size=30),
)


@hostile.tried(60)
@given(content=damaged(whole_idx) | headers)
def test_no_damaged_idx_file_is_taken_for_images(content: bytes, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "t10k"):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(content)
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(7) + bytes(7))
    with pytest.raises(DataError) as error:
        MNIST(MNIST.Config()).load(DataSource(tmp_path / "data", tmp_path / "cache", print))
    assert is_one_line(error.value, folder / "train-images-idx3-ubyte")
