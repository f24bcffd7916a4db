"""The device that a run computes on, and torch set up for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.errors import UsageError
from harness.machine.glibc import keep_freed_memory


def prepare_torch(device: str, *, deterministic: bool = True) -> torch.device:
    """Resolve ``auto``, ``cpu`` or ``cuda`` and set torch up, for results that repeat bit for bit if ``deterministic``.

    Denormal numbers are flushed to zero: late in training they fill Adam's moments and slow a step by a fifth. It
    must be said before the first operation, so that torch's worker threads inherit it.

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # torch's default rounds convolutions; products it leaves alone
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no CUDA device here; use --device cpu or auto.")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Unlike use_deterministic_algorithms, this imports no compiler.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given: a clock is read only then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def using_threads(n: int) -> Iterator[None]:
    """Let torch use ``n`` CPU threads within the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
