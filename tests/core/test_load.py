"""The load of other processes is measured, without this process's own work."""

import os
import subprocess
import sys
import time
from pathlib import Path

from marks import needs_linux

from harness.toolkit import CompetingLoad


def work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@needs_linux
def test_busy_processes_are_measured() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        time.sleep(0.3)
        with CompetingLoad() as competing:
            time.sleep(0.5)
        assert competing.share is not None
        assert 0.8 < competing.share <= 1
    finally:
        for each in busy:
            each.kill()
            each.wait()


@needs_linux
def test_the_work_of_this_process_does_not_count() -> None:
    with CompetingLoad() as competing:
        start = time.process_time()
        work(0.5)
        own = (time.process_time() - start) / (0.5 * len(os.sched_getaffinity(0)))
    assert competing.share is not None
    assert competing.share + own < 1.1


def test_without_the_file_of_the_system_there_is_no_share(tmp_path: Path) -> None:
    with CompetingLoad(stat=tmp_path / "nowhere") as competing:
        work(0.01)
    assert competing.share is None
