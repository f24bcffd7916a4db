"""Interruption of a run: Ctrl-C, and what the system sends to end a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from harness.cli.main import interrupted_exit
from harness.execution.interruption import interrupting

_same = 0.2  # seconds within which two signals are one, which a shell and a wrapper have both sent
_show_cursor = b"\x1b[?25h\n"


@contextmanager
def interruptible() -> Iterator[None]:
    """Let the first SIGINT, SIGTERM or SIGHUP within the block raise ``KeyboardInterrupt``, and the second one exit.

    What is on disk is whole at any time, and the watchdog of the workers ends them. Signals that are ignored, as by
    nohup, stay ignored; and only the main thread can set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in interrupting}
    is_interrupted = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal is_interrupted
        if not is_interrupted:
            is_interrupted = True
            raise KeyboardInterrupt

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    thread = threading.Thread(target=_exit_at_the_second, args=(reading,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(writing)
        thread.join()
        os.close(reading)


def _exit_at_the_second(signals: int) -> None:
    """Exit at the second signal, even while the main thread is in a long computation of torch.

    Args:
        signals: a file descriptor, from which the number of each signal is read when it arrives.
    """
    first = None
    while number := os.read(signals, 1):
        if number[0] not in interrupting:
            continue
        now = time.monotonic()
        if first is None:
            first = now
        elif now - first > _same:
            if sys.stderr.isatty():
                os.write(2, _show_cursor)
            os._exit(interrupted_exit)
