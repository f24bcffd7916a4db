"""Comparisons agree with scipy, and ranks say no more than the data can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.results.comparison import Measured, difference, ranks

seeded = np.random.default_rng(0)


def over_examples(values: np.ndarray, seed: int = 0) -> Measured:
    return Measured({seed: float(values.mean())}, ids=np.arange(len(values)), values=values)


@pytest.mark.parametrize("n", [5, 30, 900])
def test_one_seed_each_is_the_paired_t_test_over_examples(n: int) -> None:
    a, b = seeded.normal(size=n), seeded.normal(0.3, 2, size=n)
    ours = difference(over_examples(a), over_examples(b))
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_unlike_seeds_without_examples_are_welchs_test() -> None:
    a, b = seeded.normal(size=4), seeded.normal(1, 3, size=7)
    ours = difference(
        Measured(dict(enumerate(map(float, a)))), Measured({10 + i: float(each) for i, each in enumerate(b)})
    )
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_same_seeds_are_paired() -> None:
    a = seeded.normal(size=6)
    b = a + seeded.normal(0.5, 0.1, size=6)
    ours = difference(*(Measured(dict(enumerate(map(float, each)))) for each in (a, b)))
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_covers_the_true_difference_as_often_as_it_says() -> None:
    generator, covered, trials = np.random.default_rng(1), 0, 2000
    for _ in range(trials):
        shared = generator.normal(size=25)
        a, b = shared + generator.normal(0.2, 1, 25), shared + generator.normal(0, 1, 25)
        found = difference(over_examples(a), over_examples(b))
        covered += found.low <= 0.2 <= found.high
    assert abs(covered / trials - 0.95) < 4 * (0.95 * 0.05 / trials) ** 0.5


def test_what_cannot_be_told_apart_shares_a_rank() -> None:
    noise = seeded.normal(size=400)
    close = over_examples(noise + 0.001 * seeded.normal(size=400))
    best, same, worst = over_examples(noise), close, over_examples(noise - 1 + 0.1 * seeded.normal(size=400))
    assert ranks([best, same, worst], "higher") == [1, 1, 3]
    assert ranks([best, same, worst], "lower") == [2, 2, 1]


def test_equal_figures_without_any_error_tie_and_different_ones_do_not() -> None:
    assert ranks([Measured({0: 1.0}), Measured({0: 1.0}), Measured({0: 2.0})], "lower") == [1, 1, 3]


@given(st.lists(st.lists(st.floats(-100, 100), min_size=8, max_size=8), min_size=2, max_size=5), st.floats(-50, 50))
def test_ranks_do_not_depend_on_the_origin_or_the_sign_convention(rows: list[list[float]], shift: float) -> None:
    figures = [np.array(row).round(3) for row in rows]
    as_they_are = ranks([over_examples(each) for each in figures], "higher")
    assert ranks([over_examples(-each) for each in figures], "lower") == as_they_are
    assert as_they_are[int(np.argmax([each.mean() for each in figures]))] == 1
