"""Failures: why a fit or a cell has no result."""

from __future__ import annotations

import functools
import traceback
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from harness.errors import Diverged, HarnessError, NotApplicable, on_one_line
from harness.machine.memory import is_out_of_memory


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
    message = str(error) if isinstance(error, HarnessError) else described(error)
    return Failure("error", message, trace)


def described(error: BaseException) -> str:
    """Name an exception on one line, with the function, file and line of the plugin that it comes from."""
    text = f"{type(error).__name__}: {error}"
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_of_a_library(each.filename)]
    if not frames:
        return on_one_line(text)
    last = frames[-1]
    return on_one_line(text, f" (in {last.name}, line {last.lineno} of {Path(last.filename).name})")


def _is_of_a_library(file: str) -> bool:
    """Return whether a file is of the harness, of torch, of numpy or of Python, which raise what plugins cause."""
    path = Path(file)
    of_python = path.is_relative_to(Path(traceback.__file__).parent) and "site-packages" not in path.parts
    return file.startswith("<") or of_python or any(path.is_relative_to(folder) for folder in _libraries())


@functools.cache
def _libraries() -> list[Path]:
    found = [find_spec(name) for name in ("harness", "torch", "numpy")]
    return [Path(each.origin).parent for each in found if each is not None and each.origin is not None]
