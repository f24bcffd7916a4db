"""``mnist-10k``: a subset of MNIST that is shipped with the package, so the first run needs no download."""

from __future__ import annotations

import hashlib
import lzma
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from harness import Content, Data, DataError, DataSource, Examples, NoSettings

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

sizes = {"train": 10_000, "validation": 1_000, "test": 2_000}
pixels = 28 * 28


class MNIST10k:
    """A stratified subset of MNIST (LeCun, Cortes and Burges, 1998), 28 × 28 grey pixels, ten classes.

    10,000 training and 1,000 validation images come from MNIST's 60,000 training images, and 2,000 test images from its
    10,000 test images. Classes have the same proportions as in the full set (see ``choose_mnist_10k``). Results differ
    from those on ``mnist``.
    """

    Config = NoSettings
    file: ClassVar[Traversable] = files("harness_datasets") / "embedded" / "mnist-10k.xz"
    published: ClassVar[str] = "8ba3ce69df2e7f1e387ed49549d133dc4dbd14334096b6e8b616f782347fe57b"

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def content_in(self, source: DataSource) -> Content | None:
        """Return the content of the embedded file, if it is not the one that was shipped; ``source`` is not used."""
        try:
            digest = hashlib.sha256(self.file.read_bytes()).hexdigest()
        except OSError:
            return None  # load() says why
        return None if digest == self.published else Content(digest, f"{self.file} is not the file that was shipped")

    def load(self, source: DataSource) -> Data:
        """Unpack the embedded file; ``source`` is not used.

        Raises:
            DataError: the installed file is damaged.
        """
        try:
            splits = unpack(self.file.read_bytes())
        except (OSError, lzma.LZMAError, ValueError) as error:
            raise DataError(f"{self.file} is damaged ({error}); install generative-harness again") from error
        return Data.from_tensors(splits["train"], splits["validation"], splits["test"], classes=10)


def pack(splits: dict[str, Examples]) -> bytes:
    """Return the splits in order, each as ids (uint16), labels and images (bytes), compressed by xz."""
    raw = b""
    for split in splits.values():
        assert split.ids is not None
        assert split.labels is not None
        raw += split.ids.numpy().astype("<u2").tobytes()
        raw += split.labels.numpy().astype("u1").tobytes()
        raw += split.values.numpy().tobytes()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]
    return lzma.compress(raw, format=lzma.FORMAT_XZ, filters=filters)


def unpack(packed: bytes) -> dict[str, Examples]:
    """Read the output of ``pack``.

    Raises:
        ValueError: its length is wrong.
    """
    raw = lzma.decompress(packed)
    expected = sum(n * (2 + 1 + pixels) for n in sizes.values())
    if len(raw) != expected:
        raise ValueError(f"{len(raw)} bytes unpacked, not {expected}")
    splits, start = {}, 0
    for name, n in sizes.items():
        ids = np.frombuffer(raw, "<u2", n, start)
        labels = np.frombuffer(raw, "u1", n, start + 2 * n)
        values = np.frombuffer(raw, "u1", n * pixels, start + 3 * n)
        start += n * (3 + pixels)
        splits[name] = Examples(
            torch.from_numpy(values.reshape(n, 1, 28, 28).copy()),
            torch.from_numpy(labels.astype(np.int64)),
            torch.from_numpy(ids.astype(np.int64)),
        )
    return splits
