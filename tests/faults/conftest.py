"""Runs of the faulty plugin, and a table of all trials."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import psutil
import pytest
from fault_trials import Kills, Table, trials
from faulty_runs import Runs

_table, _kills = Table(), Kills()


class Note(Protocol):
    """Notes for the table whether a trial of a fault at a place was right, and which statuses were recorded."""

    def __call__(self, fault: str, place: str, is_right: bool, statuses: set[str], /) -> None: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="HARNESS_FAULT_TRIALS is not set")
    for item in items:
        if trials == 0 and item.get_closest_marker("faults"):
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if trials:
        terminalreporter.section("faults")
        for line in (*_table.lines(), _kills.in_words):
            terminalreporter.write_line(line)


@pytest.fixture
def note() -> Note:
    """Return a function that fills the table."""
    return lambda fault, place, is_right, statuses: _table.seen[fault][place].note(is_right, statuses)


@pytest.fixture
def kills() -> Kills:
    """Return the counts of runs that were killed."""
    return _kills


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Runs]:
    found = Runs(tmp_path)
    yield found
    for process in found.processes():
        with suppress(psutil.Error):
            process.kill()
