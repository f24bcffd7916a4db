"""Images in a folder: png, jpg and webp files of one size, in grey or in colour."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness import DataError

suffixes = (".png", ".jpg", ".jpeg", ".webp")
_modes = {"L": "L", "1": "L", "RGB": "RGB", "P": "RGB"}  # of images that can be read, and what they are read as


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder and its subfolders, also in linked ones, sorted by their names.

    Raises:
        DataError: there is no such folder, or it has no images.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    found = (path for path in _within(folder) if path.name.lower().endswith(suffixes) and path.is_file())
    files = sorted(found, key=lambda path: path.parts)  # paths themselves take three times as long to sort
    if not files:
        raise DataError(
            f"{folder} has no images ({', '.join(suffixes)}), also not in subfolders; give the folder of your images, "
            "or convert them"
        )
    return files


def _within(folder: Path) -> Iterator[Path]:
    """Yield what is in a folder and is not hidden; the content of each folder once, since links may be circular."""
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        within = Path(place)
        real = within.resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (within / name for name in names if not name.startswith("."))


def untracked(files: Sequence[Path], doing: str, total: int) -> Iterable[Path]:
    """Show no progress."""
    return files


def read_images(files: Sequence[Path], track: Callable[..., Iterable[Path]] = untracked) -> Tensor:
    """Return images as bytes, ``(N, C, H, W)`` with one channel or three.

    Args:
        files: one image each.
        track: shows the progress, as ``DataSource.track`` does.

    Raises:
        DataError: an image cannot be read, has transparency or more than 8 bits, or differs in size or channels from
            the first.
    """
    first = _read(files[0])
    images = torch.empty(len(files), *first.shape, dtype=torch.uint8)
    for number, path in enumerate(track(files, "decoding images", len(files))):
        image = _read(path)
        if image.shape != first.shape:
            raise DataError(
                f"{path} is {_described(image)}, but {files[0]} is {_described(first)}; all must be alike: convert or "
                "remove those that differ"
            )
        images[number] = image
    return images


def _read(path: Path) -> Tensor:
    try:
        with Image.open(path) as image:
            image.load()
            mode = "transparent" if image.mode == "P" and "transparency" in image.info else image.mode
            pixels = np.array(image.convert(_modes[mode])) if mode in _modes else None
    except Exception as error:  # decoders raise exceptions of many kinds
        raise DataError(
            f"{path} cannot be read as an image: {str(error) or type(error).__name__}; save it again or remove it"
        ) from error
    if pixels is None:
        raise DataError(f"{path} has pixels of mode {mode}; save it in 8 bits, grey or RGB, without transparency")
    return torch.from_numpy(pixels).reshape(*pixels.shape[:2], -1).permute(2, 0, 1).contiguous()


def _described(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{height} × {width} {'grey' if channels == 1 else 'colour'}"
