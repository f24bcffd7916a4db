"""The device that a run computes on, and torch's settings for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from harness.errors import UsageError
from harness.machine.glibc import keep_freed_memory


def prepare_torch(device: str, *, deterministic: bool = True) -> torch.device:
    """Resolve ``auto``, ``cpu`` or ``cuda`` and set torch up; results repeat bit for bit if ``deterministic``.

    Denormal numbers are flushed to zero: late in training they fill Adam's moments and slow a step by a fifth. This
    must be set before the first operation, so that torch's worker threads inherit it.

    Raises:
        UsageError: ``device`` is ``cuda`` and torch finds no CUDA device.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    torch.backends.cudnn.allow_tf32 = False  # torch's default rounds convolutions, but not matrix products
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("device cuda is not available: torch finds no CUDA device; available are cpu and auto.")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Unlike use_deterministic_algorithms, this imports no compiler.
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


def gpus(device: str) -> list[str]:
    """Return a value of ``CUDA_VISIBLE_DEVICES`` for each GPU that workers may use, which shows only this one.

    They are those that this process may see: all of the machine, or those of its own ``CUDA_VISIBLE_DEVICES``, by
    number or by UUID. A GPU of another model than the first is left out, since results name the model of the first.
    Counting them does not initialise CUDA where NVML is installed.

    Args:
        device: ``cuda``, or another type of device, which has none.
    """
    n = torch.cuda.device_count() if device == "cuda" else 0
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = [str(i) for i in range(n)] if given is None else [each.strip() for each in given.split(",")][:n]
    if n < 2:
        return seen
    names = [torch.cuda.get_device_name(i) for i in range(n)]
    return [each for each, name in zip(seen, names, strict=True) if name == names[0]]


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its work, as a timing must before it reads the clock."""
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
