"""The surroundings of a check: what a plugin changes around it, its output, and the cache folder of metrics."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.contracts.outputs import different
from harness.execution.surroundings import changes_since, read_all, restored

_unusual_seed = 76_031_958  # that no plugin sets, which would then change nothing


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Return an empty cache folder, which is removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="harness-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def disturb(seed: int) -> None:
    """Set the global generators to a state of the check's own; ``restored`` sets them back after it."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


def differing(compute: Callable[[], dict[str, Tensor]]) -> list[str]:
    """Compute tensors twice, in two states of the global generators, and return the names of those that differ."""
    found = []
    for seed in (1, 2):
        disturb(seed)
        found.append(compute())
    return different(*found)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep what is printed within the block, and ignore warnings."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield text


def changes(work: Callable[[], object]) -> dict[str, str]:
    """Return what a piece of work changes, in words, by the name of the aspect; it works in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, restored(), quiet():
        os.chdir(folder)
        work()  # a first time, since libraries set variables when they are imported
    with tempfile.TemporaryDirectory() as folder, restored(), quiet() as printed:
        os.chdir(folder)
        disturb(_unusual_seed)
        before = read_all()
        work()
        found = {name: f"it changed {change}" for name, change in changes_since(before).items()}
        files = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
    if files:
        found["files"] = f"it wrote {', '.join(files)} into the current folder"
    if printed.getvalue().strip():
        found["output"] = f"it printed {printed.getvalue().strip()[:80]!r}"
    return found
