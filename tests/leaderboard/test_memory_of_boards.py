"""The memory that boards take grows with what they have, and not faster."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from harness.results.comparison import Measured, rank_ranges


def peak_of(work: Callable[[], object]) -> int:
    """Return the most bytes that are allocated while something is done, beyond those before."""
    work()  # tables that are computed once
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_memory_of_ranks_does_not_grow_with_the_square_of_the_rows() -> None:
    def ranks(rows: int) -> Callable[[], object]:
        measured = [Measured({0: row - 0.1, 1: row + 0.1}, (0.1, 0.1), 99.0) for row in range(rows)]
        return lambda: rank_ranges(measured, "higher")

    assert peak_of(ranks(2000)) < 1.5 * peak_of(ranks(1000))
