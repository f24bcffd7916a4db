"""The CPUs that this process may use, and the share of them that other processes used meanwhile."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from types import TracebackType

_idle = (3, 4)  # the columns "idle" and "iowait" of a line of /proc/stat
_counted_twice = (8, 9)  # "guest" and "guest_nice" are part of "user" and "nice"


class CompetingLoad:
    """Measures the share of this process's CPUs that others used within a ``with`` block: ``CompetingLoad().share``.

    The share is between 0 and 1: the time that these CPUs were busy, minus the CPU time of this process and of its
    children that ended within the block, divided by CPUs × wall-clock time. Time that a hypervisor gave to others
    counts as theirs. ``share`` is None on systems without ``/proc/stat``, which only Linux has. That file counts in
    ticks of 10 ms: for a block of 0.2 s on two CPUs, the share is accurate to a few hundredths.
    """

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self.share: float | None = None
        self._stat = stat

    def __enter__(self) -> CompetingLoad:
        self._wall, self._busy, self._own = time.perf_counter(), _busy_seconds(self._stat), _own_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        busy, own, wall = _busy_seconds(self._stat), _own_seconds() - self._own, time.perf_counter() - self._wall
        if busy is not None and self._busy is not None:
            others = busy - self._busy - own
            self.share = min(1.0, max(0.0, others / (cores() * wall)))


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _busy_seconds(stat: Path) -> float | None:
    """Return the seconds that the CPUs of this process have been busy since the system started, summed."""
    try:
        lines = stat.read_text().splitlines()
    except OSError:
        return None
    allowed = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for name, *columns in (line.split() for line in lines if line.startswith("cpu")):
        if name in allowed:
            ticks += sum(int(each) for n, each in enumerate(columns) if n not in (*_idle, *_counted_twice))
    return ticks / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
