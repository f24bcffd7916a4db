"""Axes show every value between ticks at round numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.report.axes import axis_for

values = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8)


@given(values)
@example([0.0])
@example([1.0, 1.0 + 2e-16])
@example([-1.7e308, 1.7e308])
@example([5e-324, 1e308])
def test_every_value_is_between_a_few_ticks_that_can_be_told_apart(values: list[float]) -> None:
    axis = axis_for(values)
    assert axis is not None
    assert 2 <= len(axis.ticks) <= 5
    assert all(before < after for before, after in pairwise(axis.ticks))
    assert len(set(axis.labels)) == len(axis.labels)
    assert all(0 <= axis.share(value) <= 1 for value in values)
    if max(map(abs, values)) < 1e300:
        margin = 1e-9 * max(map(abs, axis.ticks))
        assert axis.ticks[0] - margin <= min(values) <= max(values) <= axis.ticks[-1] + margin


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([-134.4, -130.8], ["−136", "−134", "−132", "−130"]),
        ([804_000.0, 2_987_008.0], ["0", "1M", "2M", "3M"]),
        ([16_464.0, 2_033_297.0], ["10k", "100k", "1M", "10M"]),
        ([0.038, 0.079], ["0.02", "0.04", "0.06", "0.08"]),
        ([7.3, 15.1], ["5", "10", "15", "20"]),
        ([2e-6, 9e-6], ["2e−6", "4e−6", "6e−6", "8e−6", "10e−6"]),
    ],
)
def test_ticks_are_round_and_short(values: list[float], labels: list[str]) -> None:
    axis = axis_for(values)
    assert axis is not None
    assert axis.labels == labels


def test_only_positive_values_of_very_different_size_have_a_logarithmic_axis() -> None:
    for values, is_logarithmic in (
        ([1.0, 60.0], True),
        ([1.0, 40.0], False),
        ([-1.0, 60.0], False),
        ([0.0, 60.0], False),
    ):
        axis = axis_for(values)
        assert axis is not None
        assert axis.is_logarithmic is is_logarithmic


def test_without_values_there_is_no_axis() -> None:
    assert axis_for([]) is None
