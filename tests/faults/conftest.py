"""A run of the faulty plugin in a process of its own, what it leaves behind, and a table of all trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

trials = int(os.environ.get("HARNESS_FAULT_TRIALS", "0"))  # of the whole form
_variable = "HARNESS_FAULT_TEST"
_seen: dict[tuple[str, str], list[bool]] = defaultdict(list)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="HARNESS_FAULT_TRIALS is not set")
    for item in items:
        if trials == 0 and item.get_closest_marker("faults"):
            item.add_marker(skip)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "trial" in metafunc.fixturenames:
        metafunc.parametrize("trial", range(max(trials, 1)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if not _seen:
        return
    terminalreporter.section("faults")
    terminalreporter.write_line(f"{'fault':24} {'place':12} {'trials':>6} {'right':>6}")
    for (fault, place), outcomes in sorted(_seen.items()):
        terminalreporter.write_line(f"{fault:24} {place:12} {len(outcomes):6} {sum(outcomes):6}")
    total = [outcome for outcomes in _seen.values() for outcome in outcomes]
    terminalreporter.write_line(f"{'all':37} {len(total):6} {sum(total):6}")


@pytest.fixture
def note() -> Callable[[str, str, bool], None]:
    """Return a function that notes whether a trial of a fault at a place was right, for the table."""
    return lambda fault, place, is_right: _seen[fault, place].append(is_right)


class Runs:
    """Starts ``harness run`` with the faulty plugin; knows what it has started, however it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = uuid.uuid4().hex

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
        environment |= {"HARNESS_CACHE_DIR": str(self.folder / "cache"), "COLUMNS": "200", _variable: self.token}
        plugin = str(Path(__file__).with_name("faulty.py"))
        chosen = ["run", "--plugin", plugin, "--models", "faulty", "--dataset", "tiny", "--no-figures", "--steps", "3"]
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *chosen, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=3000)
        return process.returncode, out, err

    def lines(self, runs: str = "runs") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / runs / "records.jsonl").read_text().splitlines()]

    def alive(self, seconds: float = 30) -> list[str]:
        """Return the commands of processes that are left; the watchdog has some time to end them."""
        until = time.monotonic() + seconds
        while found := list(self._processes()):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return [" ".join(process.cmdline()) for process in found]

    def _processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get(_variable) == self.token
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def leftovers(self) -> list[Path]:
        """Return the temporary files in the stores."""
        return [path for path in self.folder.glob("*/**/.*") if path.name not in (".", "..")]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    found = Runs(tmp_path)
    yield found
    for process in found._processes():
        with suppress(psutil.Error):
            process.kill()
