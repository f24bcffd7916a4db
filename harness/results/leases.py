"""Leases: which work of a store a run does at the moment, so that no other run does it too.

A lease is a lock on one byte of the file ``leases.lock``, at a place that is computed from a key. The file stays empty.
The system releases the locks of a process when it ends, however it ends, so the lease of a run that died is free.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

seconds_between_tries = 0.2


class Leases:
    """The leases of this process on the work in a store; they end with the block in which it is entered.

    Where the system or the file system has no such locks, every lease is granted.

    Args:
        root: the folder of the store, which exists.
    """

    def __init__(self, root: Path) -> None:
        self._path = root / "leases.lock"
        self._file: IO[bytes] | None = None
        self._held: set[str] = set()

    def __enter__(self) -> Leases:
        try:
            self._file = self._path.open("ab")
        except OSError:
            self._file = None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()  # which releases its locks
        self._held.clear()

    def take(self, keys: Collection[str]) -> bool:
        """Lease all keys, or none of them; return False if another run has one. A key may be held already."""
        taken: list[str] = []
        for key in set(keys) - self._held:
            if not self._lock(key):
                self.release(taken)
                return False
            self._held.add(key)
            taken.append(key)
        return True

    def release(self, keys: Collection[str]) -> None:
        """End leases; keys that are not held are ignored."""
        for key in self._held & set(keys):
            self._unlock(key)
            self._held.discard(key)

    def release_all(self) -> None:
        """End all leases."""
        self.release(set(self._held))

    @contextmanager
    def alone(self, key: str, on_waiting: Callable[[], None]) -> Iterator[None]:
        """Hold a lease within the block; wait until it is free, and call ``on_waiting`` if it is not free at once."""
        if not self.take([key]):
            on_waiting()
            while not self.take([key]):
                time.sleep(seconds_between_tries)
        try:
            yield
        finally:
            self.release([key])

    def _lock(self, key: str) -> bool:
        try:
            import fcntl
        except ImportError:
            return True
        if self._file is None:
            return True
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except (BlockingIOError, PermissionError):  # as POSIX allows for a lock that another process has
            return False
        except OSError:
            return True
        return True

    def _unlock(self, key: str) -> None:
        try:
            import fcntl
        except ImportError:
            return
        if self._file is not None:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))


def _place(key: str) -> int:
    """Return the place of a key in the file, from 0 to 2⁶⁰ − 1."""
    return int(hashlib.sha256(key.encode()).hexdigest()[:15], 16)
