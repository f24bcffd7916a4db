"""Settings of glibc's memory allocator, where the process runs on it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

# From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_largest_mmap_threshold = 32 * 2**20


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next tensors; on other C libraries, do nothing.

    By default it returns the gradients' pages to the system in each step, which clears and maps them again in the next.
    """
    adjust = _glibc_function("mallopt")
    if adjust is not None:
        adjust(_M_MMAP_THRESHOLD, _largest_mmap_threshold)
        adjust(_M_TRIM_THRESHOLD, 2**30)


def return_freed_memory() -> None:
    """Let glibc return free memory to the system, so that new tensors count; on other C libraries, do nothing."""
    trim = _glibc_function("malloc_trim")
    if trim is not None:
        trim(0)


def _glibc_function(name: str) -> Callable[..., int] | None:
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), name, None)
    return function
