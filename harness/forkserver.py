"""The process that worker processes are forked from: it has imported torch, so that each of them need not."""

from __future__ import annotations

import multiprocessing
import sys
from typing import Any

_preloaded = ["harness.executors"]


def start() -> None:
    """Start it where the system has it, so that it imports torch while this process does the same."""
    if sys.platform == "linux":
        from multiprocessing import forkserver

        context()
        forkserver.ensure_running()


def context() -> Any:
    """Return the ``multiprocessing`` context that workers are made with."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(_preloaded)
    return found
