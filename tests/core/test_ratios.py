"""Benchmarks fail on slow code, not on a busy machine: how they decide from given times. Nothing is timed here."""

import random
from collections.abc import Callable

import pytest
from ratios import fewest_rounds, ratio_of
from scipy.stats import binom

accepted = 1.25


def times(rounds: int, drawn: random.Random, factor: float = 1.0, noise: float = 0.1) -> list[float]:
    """Return times of about ``factor`` seconds, of which other processes make one in ten several times as long."""
    return [
        factor * drawn.lognormvariate(0, noise) * (drawn.uniform(2, 10) if drawn.random() < 0.1 else 1)
        for _ in range(rounds)
    ]


def share_that_fail(of: Callable[[random.Random], tuple[list[float], list[float]]], runs: int = 2000) -> float:
    drawn = random.Random(0)
    return sum(ratio_of(*of(drawn)).exceeds(accepted) for _ in range(runs)) / runs


@pytest.mark.parametrize("rounds", [5, 8, 9, 15, 41, 101])
def test_the_limits_are_the_narrowest_that_miss_the_median_in_at_most_five_percent(rounds: int) -> None:
    found = ratio_of([float(i) for i in range(rounds)], [1.0] * rounds)
    below = int(found.low)
    assert found.high == rounds - 1 - below
    assert binom.cdf(below, rounds, 0.5) <= 0.05 < binom.cdf(below + 1, rounds, 0.5)


def test_the_ratio_is_the_median_of_the_rounds_whatever_their_length() -> None:
    assert ratio_of([2, 30, 0.5, 8, 3], [1, 10, 1, 2, 2]).median == 2


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.5])
def test_a_ratio_at_the_accepted_one_fails_in_at_most_one_run_of_twenty(noise: float) -> None:
    assert share_that_fail(lambda drawn: (times(21, drawn, accepted, noise), times(21, drawn, 1, noise))) < 0.06


def test_a_ratio_within_the_margin_does_not_fail() -> None:
    assert share_that_fail(lambda drawn: (times(21, drawn, 1.05), times(21, drawn))) < 0.001


def test_a_planted_slowdown_beyond_the_margin_fails() -> None:
    assert share_that_fail(lambda drawn: (times(41, drawn, 1.05 * 1.4), times(41, drawn))) > 0.95


def test_a_slowdown_that_noise_hides_does_not_fail() -> None:
    assert share_that_fail(lambda drawn: (times(8, drawn, 1.05 * 1.4, 1.0), times(8, drawn, 1, 1.0))) < 0.25


def test_a_few_disturbed_rounds_do_not_fail() -> None:
    assert not ratio_of([10.0] * 4 + [1.0] * 7, [1.0] * 11).exceeds(accepted)


def test_a_few_fast_rounds_hide_no_slowdown() -> None:
    assert ratio_of([2.0] * 9 + [0.1] * 2, [1.0] * 11).exceeds(accepted)


def test_too_few_rounds_are_refused() -> None:
    ratio_of([1.0] * fewest_rounds, [1.0] * fewest_rounds)
    with pytest.raises(ValueError, match="4 rounds: at least 5"):
        ratio_of([1.0] * 4, [1.0] * 4)


def test_rounds_without_a_reference_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio_of([1.0] * 6, [1.0] * 5)
