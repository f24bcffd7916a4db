"""What can go wrong, told apart by what the user can do about it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class HarnessError(Exception):
    """Something the user should read as one message, not as a traceback."""


class UsageError(HarnessError):
    """The words were wrong; nothing was started."""


class DataError(UsageError):
    """A data set is missing, incomplete or corrupt."""


class StoreError(HarnessError):
    """A result could not be written or read back; what was stored before is intact."""


class NotApplicable(Exception):  # noqa: N818 -- an answer, not a failure
    """Raised by a model or a metric that cannot do what it is asked; the message says why.

    The cell is recorded as ``n/a`` with this reason, ranks below nothing, and the run goes on.
    """


class Diverged(Exception):  # noqa: N818 -- an outcome of training, not a fault of the program
    """Training came to nothing: an objective became non-finite, or a model says so of itself when it is calibrated.

    The fit is recorded as ``diverged``, with the message.
    """


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
    """Show a warning where no other way to show it was given."""
    warnings.warn(message, HarnessWarning, stacklevel=3)


def nearest(given: str, known: Iterable[str]) -> str | None:
    """Return the known name most like ``given``, or None where none is near."""
    matches = difflib.get_close_matches(given, list(known), n=1, cutoff=0.5)
    return matches[0] if matches else None


def unknown(kind: str, given: str, known: Iterable[str]) -> UsageError:
    """Build the error for a name nobody provides: what was given, the nearest right one, all of them."""
    names = sorted(known)
    match = nearest(given, names)
    hint = f" Did you mean {match!r}?" if match else ""
    there = ", ".join(names) if names else "none"
    return UsageError(f"unknown {kind} {given!r}.{hint} Known: {there}.")
