"""Limits of a run: what a fit or a measurement may take before its process is ended from outside.

They are no part of a result's identity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_usual_patience = 600.0  # seconds without a training step


@dataclass(frozen=True)
class Limits:
    """What a fit or a measurement may take. Any limit has every task carried out in a process of its own.

    Args:
        isolate: whether every task has a process of its own even without limits.
        timeout: seconds of a fit, and of each measurement; None for no limit.
        memory: bytes of resident memory of a worker process with all that it has started; None for no limit.
        hang_after: seconds without progress, ``math.inf`` for no limit; None for ten minutes of training by steps, in
            a process of its own, and no limit of other work, which need not report progress.
    """

    isolate: bool = False
    timeout: float | None = None
    memory: int | None = None
    hang_after: float | None = None

    @property
    def isolates(self) -> bool:
        """Whether every task has a process of its own."""
        return self.isolate or any(limit is not None for limit in (self.timeout, self.memory, self.hang_after))

    def patience(self, *, trains: bool) -> float:
        """Return how many seconds without progress are allowed, of training by steps or of other work."""
        if self.hang_after is not None:
            return self.hang_after
        return _usual_patience if trains else math.inf

    @property
    def seconds_between_beats(self) -> float:
        """How often a worker reports that it makes progress."""
        return min(1.0, (self.hang_after or _usual_patience) / 5)

    @property
    def seconds_between_checks(self) -> float:
        """How often workers are compared with their limits; memory can grow by a gigabyte in half a second."""
        known = [limit / 10 for limit in (self.timeout, self.hang_after) if limit is not None]
        return min([0.1 if self.memory is not None else 0.5, *known])


def in_bytes(number: int) -> str:
    """Write a number of bytes with its unit, such as ``1.5 GiB``."""
    size, unit = float(number), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"
