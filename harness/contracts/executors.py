"""The contract of an executor: it starts workers on other machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self


class Job(Protocol):
    """Work that was handed to a cluster."""

    def end(self) -> str | None:
        """Return how it ended, in words, such as "its node was lost"; None while it waits or runs."""

    def cancel(self) -> None:
        """End it, whether it waits or runs; do nothing if it has ended."""


class Executor(Protocol):
    """Hands work to a cluster. A plugin's executor is a class built as ``Executor(config)`` that is one.

    ``places`` is how many workers there may be at once, unless the user says how many. It is read within the ``with``
    block.

    The work that is submitted is a picklable function without arguments and without a result. It connects to the
    harness over TCP, at the address of the machine on which the harness runs, so that machine must be reachable from
    the cluster. The same versions of Python, torch and the plugins must be installed there.
    """

    places: int

    def __enter__(self) -> Self:
        """Connect to the cluster.

        Raises:
            UsageError: there is no cluster, or it cannot be reached.
        """

    def __exit__(self, *error: object) -> None:
        """Disconnect from the cluster."""

    def submit(self, work: Callable[[], None]) -> Job:
        """Have the cluster call a function once, as soon as there is a place for it; return at once."""
