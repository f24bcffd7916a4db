"""Interruption of a run by a signal, held back while something is done that must not be done by half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

interrupting = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Let the handlers of SIGINT, SIGTERM and SIGHUP run when the block ends, if a signal arrives within it.

    Outside the main thread, where Python runs no handlers, this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[tuple[int, FrameType | None]] = []
    replaced = {number: handler for number in interrupting if callable(handler := signal.getsignal(number))}
    try:
        for each in replaced:
            signal.signal(each, lambda number, frame: arrived.append((number, frame)))
        yield
    finally:
        for each, handler in replaced.items():
            signal.signal(each, handler)
        for number, frame in arrived:
            replaced[signal.Signals(number)](number, frame)
