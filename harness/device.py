"""The device that a run computes on, and torch set up for it."""

from __future__ import annotations

import os

import torch

from harness.errors import UsageError


def prepare_torch(device: str) -> torch.device:
    """Resolve ``auto``, ``cpu`` or ``cuda`` and set torch up for repeatable results.

    Denormal numbers are flushed to zero: late in training they fill Adam's moments and slow a step by a fifth. It
    must be said before the first operation, so that torch's worker threads inherit it.

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    torch.set_flush_denormal(True)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("--device cuda: torch sees no CUDA device here; use --device cpu or auto.")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_deterministic_debug_mode("error")  # unlike use_deterministic_algorithms, imports no compiler
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return torch.device(device)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given: a clock is read only then."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
