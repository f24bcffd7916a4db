"""Processes of workers, with all that they have started: found, measured and ended.

Run as a script, this file is the watchdog of a run: it ends the workers when the process that started it is gone,
however that ended. It imports nothing of the harness, so it starts at once.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress

import psutil

variable = "HARNESS_WORKER"  # of the environment: has the token of the worker in all that it has started
_set_child_subreaper = 36  # of Linux's prctl
_seconds_between_scans = 0.5
_rounds = 20  # of killing what is left, in case that it starts processes faster than one scan finds them


class Leader:
    """A worker process: the leader of a session, which has a token in its environment.

    Args:
        pid: of the process.
        token: no other worker has the same.
    """

    def __init__(self, pid: int, token: str) -> None:
        self.pid = pid
        self.token = token
        self.process: psutil.Process | None = None
        with suppress(psutil.NoSuchProcess):
            self.process = psutil.Process(pid)
        self._known: list[psutil.Process] = []
        self._scanned = -_seconds_between_scans

    @property
    def is_running(self) -> bool:
        """Whether the worker process has not ended."""
        with suppress(psutil.Error):
            return self.process is not None and self.process.is_running() and not _is_dead(self.process)
        return False

    def memory(self) -> int:
        """Return the resident memory of the worker and its descendants, in bytes; pages that they share count once.

        Descendants are looked for every half second.
        """
        if self.process is None:
            return 0
        now = time.monotonic()
        if now - self._scanned >= _seconds_between_scans:
            self._scanned = now
            with suppress(psutil.Error):
                self._known = [self.process, *self.process.children(recursive=True)]
        if len(self._known) == 1:
            return _resident(self._known[0])
        return sum(map(_proportional, self._known))


def lead_session(token: str) -> None:
    """Make this process the leader of a session, and mark all that it will start with its token."""
    os.setsid()
    os.environ[variable] = token
    if sys.platform == "linux":  # so that descendants whose parent has ended stay descendants
        ctypes.CDLL(None).prctl(_set_child_subreaper, 1, 0, 0, 0)


def family(leaders: Mapping[int, Leader]) -> list[psutil.Process]:
    """Return the running processes of workers: their sessions, their descendants, and what has their tokens.

    A descendant that has left the session and lost its parent is known by the token in its environment.

    Args:
        leaders: by pid.
    """
    tokens = {leader.token for leader in leaders.values()}
    children: dict[int, list[psutil.Process]] = {}
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            children.setdefault(process.ppid(), []).append(process)
            leader = leaders.get(os.getsid(process.pid))
            is_of_session = leader is not None and not _is_reused(leader)
            if is_of_session or process.environ().get(variable) in tokens:
                found[process.pid] = process
    waiting = list(found.values())
    while waiting:
        for child in children.get(waiting.pop().pid, []):
            if child.pid not in found:
                found[child.pid] = child
                waiting.append(child)
    found.pop(os.getpid(), None)
    return [process for process in found.values() if not _is_dead(process)]


def end(leaders: Mapping[int, Leader], grace: float) -> None:
    """End workers with all that they have started: by SIGTERM, and after ``grace`` seconds by SIGKILL.

    Args:
        leaders: by pid.
        grace: 0 for SIGKILL at once.
    """
    if not leaders:
        return
    if grace > 0:
        found = family(leaders)
        for process in found:
            with suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(found, grace)
    for _ in range(_rounds):
        found = family(leaders)
        if not found:
            break
        for process in found:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(found, 0.5)


class Watchdog:
    """A process that ends the workers which it was told of when this process is gone, even by SIGKILL."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )

    def watch(self, leader: Leader) -> None:
        """Watch a worker."""
        self._tell(f"{leader.pid} {leader.token}")

    def forget(self, leader: Leader) -> None:
        """Watch a worker no longer: it has ended, with all that it had started."""
        self._tell(f"{leader.pid}")

    def close(self) -> None:
        """End what is still watched, and the watchdog."""
        with suppress(OSError):
            self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):  # somebody has killed the watchdog: the run continues without
            self._process.stdin.write(f"{line}\n")


def _watch() -> None:
    leaders: dict[int, Leader] = {}
    for line in sys.stdin:
        pid, *token = line.split()
        if token:
            leaders[int(pid)] = Leader(int(pid), token[0])
        else:
            leaders.pop(int(pid), None)
    end(leaders, 0.0)


def _is_dead(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return True


def _is_reused(leader: Leader) -> bool:
    """Return whether another process has the pid of a worker that has ended, and so leads another session."""
    return psutil.pid_exists(leader.pid) and not (leader.process is not None and leader.process.is_running())


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _proportional(process: psutil.Process) -> int:
    """Return the resident memory of a process, in bytes, where a page that several share is divided among them."""
    with suppress(psutil.Error):
        found = process.memory_full_info()
        return int(getattr(found, "pss", found.uss))
    return 0


if __name__ == "__main__":
    _watch()
