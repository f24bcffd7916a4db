"""Exceptions and warnings, by what the user can do about them."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

_longest_line = 300  # characters
_many = 12  # names; a longer list hides the suggestion


class HarnessError(Exception):
    """An error that the user sees as one message, without a traceback."""


class UsageError(HarnessError):
    """Invalid arguments; nothing was run."""


class DataError(UsageError):
    """A data set is missing, incomplete or corrupt."""


class StoreError(HarnessError):
    """A result could not be written or read; what was stored before is intact."""


class NotApplicable(Exception):  # noqa: N818 -- an outcome, not a failure
    """Raised by a model or a metric that cannot do what it is asked; the message says why.

    The cell is recorded as ``n/a`` with this reason and has no rank, and the run continues.
    """


class Diverged(Exception):  # noqa: N818 -- an outcome of training, not a fault of the program
    """Training diverged: an objective became non-finite, or the model raised this when it was calibrated.

    The fit is recorded as ``diverged``, with the message.
    """


def on_one_line(text: str, end: str = "") -> str:
    """Return a text without line breaks and its end; exceptions of torch may contain whole tensors, so it is cut."""
    line, longest = " ".join(text.split()), _longest_line - len(end)
    return (line if len(line) <= longest else f"{line[:longest]}…") + end


@contextmanager
def no_exit() -> Iterator[None]:
    """Turn an attempt of a plugin to end the process within the block into an error.

    Raises:
        RuntimeError: ``sys.exit`` was called.
    """
    try:
        yield
    except SystemExit as error:
        raise RuntimeError(f"sys.exit({'' if error.code is None else repr(error.code)}) was called") from error


class HarnessWarning(UserWarning):
    """Something went wrong that did not stop the work."""


def show_warning(message: str) -> None:
    """Show a warning through Python's ``warnings``, where the caller gave no function for it."""
    warnings.warn(message, HarnessWarning, stacklevel=3)


def nearest(given: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> str | None:
    """Return the known name most like ``given``, in any case, or None.

    Args:
        given: what the user typed.
        known: the names.
        aliases: other words for some of the names, by word.
    """
    names = {word.lower(): name for word, name in (aliases or {}).items()} | {name.lower(): name for name in known}
    matches = difflib.get_close_matches(given.lower(), list(names), n=1, cutoff=0.5)
    return names[matches[0]] if matches else None


def unknown(kind: str, given: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> UsageError:
    """Build the error for an unknown name: what was given, the nearest known name, and all of them unless many."""
    names = sorted(known)
    match = nearest(given, names, aliases)
    hint = f" Did you mean {match!r}?" if match else ""
    listed = "" if match and len(names) > _many else f" Known: {', '.join(names) or 'none'}."
    return UsageError(f"unknown {kind} {given!r}.{hint}{listed}")
