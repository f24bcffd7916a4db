"""Failures: why a fit or a cell has no result."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from harness.errors import Diverged, HarnessError, NotApplicable
from harness.machine.memory import is_out_of_memory

_longest_message = 300  # characters; the traceback has all


@dataclass(frozen=True)
class Failure:
    """Why there is no value: the status of the record, and the reason in words."""

    status: str
    reason: str
    traceback: str | None = None


def failure_of(error: BaseException) -> Failure:
    """Return what kind of failure an exception is."""
    if isinstance(error, NotApplicable):
        return Failure("n/a", str(error))
    if isinstance(error, Diverged):
        return Failure("diverged", str(error))
    trace = "".join(traceback.format_exception(error))
    if is_out_of_memory(error):
        return Failure("out-of-memory", str(error).splitlines()[0] if str(error) else "out of memory", trace)
    message = str(error) if isinstance(error, HarnessError) else _on_one_line(f"{type(error).__name__}: {error}")
    return Failure("error", message, trace)


def _on_one_line(text: str) -> str:
    """Return a text without line breaks and cut to its start; exceptions of torch may contain whole tensors."""
    line = " ".join(text.split())
    return line if len(line) <= _longest_message else f"{line[:_longest_message]}…"
