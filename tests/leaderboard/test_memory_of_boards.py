"""The memory that boards take grows with what they have, and not faster."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from test_boards import named, record, seeds_of

from harness.contracts.events import Record, Values
from harness.leaderboard.board import build_boards
from harness.leaderboard.machine import render_csv, render_json
from harness.results.comparison import Measured, rank_ranges
from harness.results.store import Store


def peak_of(work: Callable[[], object]) -> int:
    """Return the most bytes that are allocated while something is done, beyond those before."""
    work()  # tables that are computed once
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def test_the_memory_of_ranks_does_not_grow_with_the_square_of_the_rows() -> None:
    def ranks(rows: int) -> Callable[[], object]:
        measured = [Measured({0: row - 0.1, 1: row + 0.1}, (0.1, 0.1), 99.0) for row in range(rows)]
        return lambda: rank_ranges(measured, "higher")

    assert peak_of(ranks(2000)) < 1.5 * peak_of(ranks(1000))


def with_values(store: Store, metrics: int, rows: int) -> Sequence[Record]:
    """Store values of 20,000 examples for each row of a board for each metric, and return the records."""
    ids, values = np.arange(20_000), np.random.default_rng(0).normal(size=20_000)
    return [
        store.append(record(f"m{row}", metric=named(f"metric-{metric}"), n=len(ids)), Values(ids, values + row))
        for metric in range(metrics)
        for row in range(rows)
    ]


def test_values_of_examples_are_in_memory_for_one_board_at_a_time(store: Store) -> None:
    records = with_values(store, metrics=6, rows=4)
    of_one, of_all = (peak_of(partial(build_boards, given, store)) for given in (records[:4], records))
    assert of_all < 1.5 * of_one


def test_values_of_the_same_examples_share_their_ids(store: Store) -> None:
    first, second = with_values(store, metrics=1, rows=2)
    other = store.append(record("other"), Values(np.arange(1, 20_001), np.zeros(20_000)))
    found = [store.values(each) for each in (first, second, other)]
    ids = [each.ids for each in found if each is not None]
    assert ids[0] is ids[1]
    assert [(each[0], each[-1]) for each in ids] == [(0, 19_999), (0, 19_999), (1, 20_000)]


@pytest.mark.parametrize("render", [render_json, render_csv])
def test_boards_for_programs_take_little_more_memory_than_their_text(
    render: Callable[[Sequence[object]], str], store: Store
) -> None:
    boards = build_boards([each for row in range(500) for each in seeds_of(f"m{row}", float(row))], store)
    assert peak_of(lambda: render(boards)) < 3 * len(render(boards))
