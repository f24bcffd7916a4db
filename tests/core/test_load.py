"""How busy other processes keep the CPUs is seen, and this process's own work is not taken for theirs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.machine import cpu_load
from harness.toolkit import CompetingLoad

linux = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux tells")


def work(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@linux
def test_busy_processes_are_seen() -> None:
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


@linux
def test_own_work_is_left_out() -> None:
    with CompetingLoad() as competing:
        start = time.process_time()
        work(0.5)
        own = (time.process_time() - start) / (0.5 * len(os.sched_getaffinity(0)))
    assert competing.share is not None
    assert competing.share + own < 1.1


def test_where_the_system_does_not_tell_nothing_is_claimed(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cpu_load, "_stat", tmp_path / "nowhere")
    with CompetingLoad() as competing:
        work(0.01)
    assert competing.share is None
