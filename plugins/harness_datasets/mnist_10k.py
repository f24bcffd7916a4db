"""``mnist-10k``: the part of MNIST that is shipped with the package, so that a first run downloads nothing."""

from __future__ import annotations

import lzma
from importlib.resources import files

import numpy as np
import torch

from harness import Data, DataError, DataSource, Examples, NoSettings

sizes = {"train": 10_000, "validation": 1_000, "test": 2_000}
pixels = 28 * 28


class MNIST10k:
    """A stratified choice of MNIST (LeCun, Cortes and Burges, 1998), 28 × 28 grey pixels, ten classes.

    10,000 training and 1,000 validation images come from MNIST's 60,000 training images, 2,000 test images from
    its 10,000 test images, each class in its share of the whole (see ``choose_mnist_10k``). Being a choice, it has
    figures of its own: they are not those of ``mnist``.
    """

    Config = NoSettings

    def __init__(self, config: NoSettings) -> None:
        self.config = config

    def load(self, source: DataSource) -> Data:
        """Unpack the embedded file; ``source`` is not used.

        Raises:
            DataError: the installed file is damaged.
        """
        file = files("harness_datasets") / "embedded" / "mnist-10k.xz"
        try:
            splits = unpack(file.read_bytes())
        except (OSError, lzma.LZMAError, ValueError) as error:
            raise DataError(f"{file} is damaged ({error}); install generative-harness again") from error
        return Data.from_tensors(splits["train"], splits["validation"], splits["test"], classes=10)


def pack(splits: dict[str, Examples]) -> bytes:
    """Write the splits one after another, ids (uint16), labels and images (bytes) of each, compressed by xz."""
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
    """Read what ``pack`` wrote.

    Raises:
        ValueError: it is of another length.
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
