"""Settings of glibc's memory allocator, where the process runs on it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_largest_mmap_threshold = 32 * 2**20


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next tensors; elsewhere, do nothing.

    By itself it returns the gradients' pages to the system in each step, which clears and maps them anew in the next.
    """
    adjust = _of_glibc("mallopt")
    if adjust is not None:
        adjust(_M_MMAP_THRESHOLD, _largest_mmap_threshold)
        adjust(_M_TRIM_THRESHOLD, 2**30)


def return_freed_memory() -> None:
    """Have glibc return what is free, which would else hide what is taken from it; elsewhere, do nothing."""
    trim = _of_glibc("malloc_trim")
    if trim is not None:
        trim(0)


def _of_glibc(name: str) -> Callable[..., int] | None:
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
