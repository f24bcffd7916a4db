"""What a process does that is an agent in tests; a module of its own, so that it can be named in another process."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing.connection import Connection


def carry_out(connection: Connection, work: Callable[[], object]) -> None:
    """Be the agent; the connection is not used."""
    work()
