"""Data that are allowed but probably not what was meant, each in one line that names the remedy."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from harness.data.dataset import Data

_natural = 0.01  # share of test examples in the training split that no one need hear of


def suspicions(data: Data) -> Iterator[str]:
    """Yield what is probably wrong with a data set; each split is read once."""
    low, high = (float(each) for each in torch.aminmax(data.train.stored))
    is_image = len(data.info.shape) == 3 and data.info.support == "real"
    if is_image and low >= 0 and 128 <= high <= 255:
        yield (
            f"its values lie in [{low:.3g}, {high:.3g}] and are taken for real numbers; if they are pixels, pass them "
            "as bytes (torch.uint8), or divide them by 255 and state support='unit'"
        )
    known, natural = rows_and_duplicates(data.train.stored)
    if len(known) < 2:
        return  # constant data, all of whose examples are the same
    for name in ("validation", "test"):
        share = share_within(known, data.splits[name].stored)
        if share > _natural + 2 * natural:
            yield f"{share:.0%} of the {name} examples are also training examples, which favours models that copy"


def rows_and_duplicates(stored: Tensor) -> tuple[set[int], float]:
    """Return hashes of the distinct examples, and which share of the examples are duplicates of others."""
    rows = _hashes(stored)
    known = set(rows)
    return known, 1 - len(known) / len(rows)


def share_within(known: set[int], stored: Tensor) -> float:
    """Return which share of examples is among those whose hashes are known."""
    rows = _hashes(stored)
    return sum(row in known for row in rows) / len(rows)


def _hashes(stored: Tensor) -> list[int]:
    return [hash(row.tobytes()) for part in stored.split(1024) for row in part.cpu().numpy()]
