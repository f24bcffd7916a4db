"""Comparisons agree with scipy, and ranks say no more than the data can."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from simulations import ranks as simulation
from torch import nn

from harness import Context, Data, Noise
from harness.results.comparison import (
    Measured,
    compare,
    critical_value,
    critical_value_alone,
    pooled_variances,
    rank_ranges,
    standard_deviation,
)
from harness.results.validation import largest
from harness_metrics.likelihood.elbo import ELBO
from harness_vae.vae import VAE

seeded = np.random.default_rng(0)


def over_examples(values: np.ndarray) -> Measured:
    return Measured({0: float(values.mean())}, ids=np.arange(len(values)), values=values)


def over_seeds(values: Sequence[float]) -> Measured:
    return Measured(dict(enumerate(map(float, values))))


def interval(a: Measured, b: Measured) -> tuple[float, float]:
    found = compare([a, b])
    assert found.margin() == pytest.approx(found.margin(simultaneous=False))
    return found.difference[0, 1] - found.margin()[0, 1], found.difference[0, 1] + found.margin()[0, 1]


def ranges(rows: Sequence[Measured], direction: str = "higher") -> list[tuple[int, int]]:
    return [(int(low), int(high)) for low, high in zip(*rank_ranges(rows, direction)[:2], strict=True)]


def test_the_largest_results_that_are_read_can_be_compared() -> None:
    rows = [over_seeds([sign * largest, -sign * largest, sign * largest]) for sign in (1, -1)]
    assert ranges([*rows, over_seeds([0, 1, 2])]) == [(1, 3)] * 3
    variances = np.full(10**6, np.var([largest, -largest], ddof=1))
    assert np.isfinite(pooled_variances(variances, np.full(10**6, 100))[0]).all()


def test_comparison_intervals_overlap_where_rows_of_equal_errors_do_not_differ() -> None:
    rows = [over_seeds([mean - 1, mean, mean + 1]) for mean in (0, 1, 4, 9, 9.5, 30, 32.9, 33.1)]
    found = compare(rows)
    margins = rank_ranges(rows, "higher")[2]
    differ = np.abs(found.difference) > found.margin()
    overlap = np.abs(found.difference) <= margins[:, None] + margins
    assert (differ == ~overlap)[~np.eye(len(rows), dtype=bool)].all()
    assert differ.any()


def test_comparison_intervals_are_the_least_squares_fit_of_the_margins_of_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = np.random.default_rng(1)
    rows = [over_examples(scale * noise.normal(size=50)) for scale in (1, 1.2, 1.5, 1.3, 0.9)]
    pairs = list(combinations(range(len(rows)), 2))
    design = np.array([[float(row in pair) for row in range(len(rows))] for pair in pairs])
    expected = np.linalg.lstsq(design, [compare(rows).margin()[pair] for pair in pairs], rcond=None)[0]
    for block in (500, 2):
        monkeypatch.setattr("harness.results.comparison._block", block)
        assert rank_ranges(rows, "higher")[2] == pytest.approx(expected)
    assert rank_ranges(rows[:2], "higher")[2].sum() == pytest.approx(compare(rows[:2]).margin()[0, 1])


near_each_other = st.builds(lambda middle, gap: middle + gap, st.just(-108.25), st.floats(-1e-9, 1e-9))


@given(st.lists(st.floats(-1e150, 1e150) | st.integers(-(10**18), 10**18) | near_each_other, min_size=2, max_size=10))
def test_a_spread_is_rounded_as_statistics_rounds_it(numbers: list[float]) -> None:
    assert standard_deviation(numbers) == statistics.stdev(numbers)


@pytest.mark.parametrize("n", [5, 30, 900])
def test_two_rows_paired_on_examples_are_the_paired_t_test(n: int) -> None:
    a, b = seeded.normal(size=n), seeded.normal(0.3, 2, size=n)
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert interval(over_examples(a), over_examples(b)) == pytest.approx((theirs.low, theirs.high))


def test_two_rows_paired_on_groups_are_the_paired_t_test_over_their_pseudo_values() -> None:
    common = seeded.normal(size=10)
    a, b = common + 0.1 * seeded.normal(size=10), common + 0.1 * seeded.normal(size=10)
    rows = [Measured({0: each.mean()}, (9.9,), 9.0, group_values=each) for each in (a, b)]
    theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert interval(*rows) == pytest.approx((theirs.low, theirs.high))


def test_rows_paired_on_groups_have_freedom_between_their_own_in_any_order() -> None:
    skewed, plain = 3 * seeded.normal(size=100), seeded.normal(size=100)
    rows = [Measured({0: 0.0}, (9.9,), own, group_values=each) for each, own in ((skewed, 3.0), (plain, 99.0))]
    variances = skewed.var(ddof=1), plain.var(ddof=1)
    freedom = sum(variances) / (variances[0] / 3 + variances[1] / 99)
    margin = stats.t.ppf(0.975, freedom) * stats.sem(skewed - plain)
    assert 3 < freedom < 99
    for pair in (rows, rows[::-1]):
        assert compare(pair).margin()[0, 1] == pytest.approx(margin)


def test_pseudo_values_have_no_more_freedom_than_groups() -> None:
    a, b = seeded.normal(size=(2, 10))
    for stated in (None, 999.0):
        rows = [Measured({0: each.mean()}, (9.9,), stated, group_values=each) for each in (a, b)]
        theirs = stats.ttest_rel(a, b).confidence_interval(0.95)
        assert interval(*rows) == pytest.approx((theirs.low, theirs.high))


def test_two_rows_with_errors_of_their_own_are_welchs_test() -> None:
    a, b = seeded.normal(size=12), seeded.normal(1, 3, size=12)
    rows = [Measured({0: each.mean()}, (each.std(ddof=1) / 12**0.5,), 11) for each in (a, b)]
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert interval(*rows) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("seeds", [3, 10])
def test_two_rows_with_the_same_spread_over_seeds_are_the_pooled_t_test(seeds: int) -> None:
    a = seeded.normal(size=seeds)
    b = 0.7 - a
    theirs = stats.ttest_ind(a, b, equal_var=True).confidence_interval(0.95)
    assert interval(over_seeds(a), over_seeds(b)) == pytest.approx((theirs.low, theirs.high))


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_a_row_beside_a_closed_form_one_is_the_t_test_of_one_sample(seeds: int) -> None:
    a = seeded.normal(size=seeds)
    theirs = stats.ttest_1samp(a, 0.7).confidence_interval(0.95)
    ours = interval(over_seeds(a), over_seeds([0.7] * seeds))
    assert ours == pytest.approx((theirs.low - 0.7, theirs.high - 0.7))


@pytest.mark.parametrize("others", [0, 3, 18])
def test_no_interval_is_narrower_than_welchs(others: int) -> None:
    a, b = seeded.normal(0, 9, size=6), seeded.normal(2, 1, size=6)
    found = compare([over_seeds(each) for each in (a, b, *seeded.normal(0, 0.01, size=(others, 6)))])
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    for simultaneous in (True, False):
        assert 2 * found.margin(simultaneous=simultaneous)[0, 1] >= (theirs.high - theirs.low) * 0.999


@pytest.mark.parametrize(("seeds", "expected"), [(4, [(1, 3)] * 3), (5, [(1, 2), (2, 3), (1, 3)])])
def test_from_five_seeds_on_a_row_that_spreads_does_not_hide_the_difference_of_others(
    seeds: int, expected: list[tuple[int, int]]
) -> None:
    offsets = np.linspace(-1, 1, seeds)
    rows = [over_seeds(each) for each in (10 + 0.1 * offsets, 9 + 0.1 * offsets, 9.5 + 100 * offsets)]
    assert ranges(rows) == expected


@pytest.mark.parametrize("freedom", [1, 2, 9])
def test_p_values_and_intervals_agree(freedom: int) -> None:
    values = seeded.normal(size=30)
    by_seed = dict(enumerate(map(float, seeded.normal(size=freedom + 1))))
    spreads = Measured(by_seed, degrees_of_freedom=29, ids=np.arange(30), values=values)
    found = compare([spreads, Measured(dict.fromkeys(by_seed, 0.0))])
    low, high = found.difference[0, 1] + found.margin()[0, 1] * np.array([-1, 1])
    assert found.p_values(low)[0, 1] == pytest.approx(0.025)
    assert found.p_values(high)[0, 1] == pytest.approx(0.975)
    of_seeds = stats.t.ppf(0.975, freedom) * stats.sem(list(by_seed.values()))
    of_examples = stats.t.ppf(0.975, 29) * stats.sem(values)
    assert found.margin()[0, 1] == pytest.approx(np.hypot(of_seeds, of_examples), rel=1e-3)


def test_the_interval_of_two_rows_alone_is_welchs_at_the_level_of_one_of_all_pairs() -> None:
    a, b, wild = seeded.normal(0, 2, size=6), seeded.normal(1, 1, size=6), seeded.normal(0, 1000, size=6)
    found = compare([over_seeds(each) for each in (a, b, wild)])
    theirs = stats.ttest_ind(a, b, equal_var=False).confidence_interval(1 - 0.025 / 3)
    assert found.own_margin[0, 1] == pytest.approx((theirs.high - theirs.low) / 2, rel=1e-5)
    assert found.margin()[0, 1] == found.own_margin[0, 1]


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 3, 4, 9, 1e6])
def test_with_few_degrees_of_freedom_the_level_of_a_row_alone_is_stricter(freedom: float) -> None:
    level = 0.05 * min(1, freedom / 4) ** 2
    assert critical_value_alone(np.array(freedom)) == pytest.approx(stats.t.ppf(1 - level / 2, freedom), rel=1e-3)


@pytest.mark.parametrize("rows", [3, 5, 20, 50])
def test_critical_values_of_a_shared_variance_are_those_of_the_studentised_range(rows: int) -> None:
    freedom = np.array([1, 2.5, 4, 11, 60, 1e5])
    theirs = stats.studentized_range.ppf(0.95, rows, freedom) / 2**0.5
    assert critical_value(rows, freedom, np.full(6, np.inf)) == pytest.approx(theirs, rel=1e-3)


def test_critical_values_of_separate_variances_are_about_as_wide_as_bonferronis() -> None:
    freedom = np.array([4.0, 9, 60, 1e5])
    bonferroni = stats.t.ppf(1 - 0.025 / 190, freedom)
    ours = critical_value(20, np.full(4, np.inf), freedom)
    assert ours / bonferroni == pytest.approx(ours[-1] / bonferroni[-1], rel=1e-3)
    assert 0.96 < ours[-1] / bonferroni[-1] < 1


def test_a_variance_over_seeds_is_its_own_or_that_of_the_board_if_it_is_larger() -> None:
    variances, freedom = pooled_variances(np.array([4.0, 0.0, 1.0, 9.0]), np.array([2, 2, 2, 2]))
    board = ((16 + 1 + 81) / 3) ** 0.5
    assert variances == pytest.approx([board, 0, board, 9])
    assert freedom == 6


def test_the_error_of_a_measurement_is_counted_once() -> None:
    def row(by_seed: dict[int, float], own: float) -> Measured:
        return Measured(by_seed, (0.5,) * len(by_seed), 9.0, measurement_stderr=own)

    closed_form, trained = row({0: 1.0, 1: 1.0, 2: 1.0}, 0.3), row({0: 1.0, 1: 2.0, 2: 3.0}, 0.3)
    found = compare([closed_form, trained, row({0: 1.0}, 0.4)])
    assert found.of_measurement[0, 1] == pytest.approx(0.3**2)  # the spread of the trained row contains its own
    assert found.of_measurement[0, 2] == pytest.approx(0.3**2 + 0.4**2)
    assert found.over_examples[0, 1] == pytest.approx(2 * (0.5**2 - 0.3**2))
    assert found.over_seeds[0, 1] == pytest.approx(1 / 3)


def test_more_seeds_narrow_only_what_comes_from_seeds() -> None:
    rows = [over_seeds([1.0, 2.0]), over_seeds([4.0, 6.0])]
    now, planned = compare(rows), compare(rows, seeds=8)
    assert planned.over_seeds == pytest.approx(now.over_seeds / 4)
    assert planned.difference == pytest.approx(now.difference)


def test_what_cannot_be_told_apart_shares_its_ranks() -> None:
    noise = seeded.normal(size=400)
    close = over_examples(noise + 0.001 * seeded.normal(size=400))
    rows = [over_examples(noise), close, over_examples(noise - 1 + 0.1 * seeded.normal(size=400))]
    assert ranges(rows, "higher") == [(1, 2), (1, 2), (3, 3)]
    assert ranges(rows, "lower") == [(2, 3), (2, 3), (1, 1)]


@pytest.mark.parametrize("direction", ["higher", "lower"])
def test_ranks_of_a_large_board_are_those_of_all_its_pairs(direction: str) -> None:
    generator = np.random.default_rng(1)

    def row(kind: int) -> Measured:
        by_seed = dict(enumerate(generator.normal(3 * generator.normal(), 0.3, size=generator.integers(2, 8)).tolist()))
        given = Measured(by_seed, (0.3,), generator.choice([2.0, 99.0]), measurement_stderr=0.1)
        if kind == 0:
            return replace(given, group_values=3 * generator.exponential() * generator.normal(size=10))
        return replace(given, ids=np.arange(30) + kind, values=generator.normal(size=30)) if kind < 3 else given

    rows = [row(kind) for kind in generator.integers(0, 4, size=1001)]
    found = compare(rows)
    is_ahead = found.difference > found.margin() if direction == "higher" else -found.difference > found.margin()
    low, high = 1 + is_ahead.sum(0), len(rows) - is_ahead.sum(1)
    assert ranges(rows, direction) == list(zip(low.tolist(), high.tolist(), strict=True))
    assert 1 < np.median(high - low) < 1000


def test_two_rows_are_compared_as_on_their_board() -> None:
    rows = [over_seeds(each) for each in seeded.normal(size=(5, 3))] + [over_examples(seeded.normal(size=30))] * 2
    board, two = compare(rows), compare(rows, places=[1, 5])
    for simultaneous in (True, False):
        ours = two.margin(simultaneous=simultaneous)
        assert ours[0, 1] == pytest.approx(board.margin(simultaneous=simultaneous)[1, 5])
    assert two.difference[0, 1] == board.difference[1, 5]


def test_equal_values_without_any_error_tie_and_different_ones_do_not() -> None:
    exact = [Measured({0: value}, (0.0,)) for value in (1.0, 1.0, 2.0)]
    assert ranges(exact, "lower") == [(1, 2), (1, 2), (3, 3)]


@pytest.mark.parametrize("scenario", [*simulation.without_seeds, *simulation.with_seeds], ids=lambda each: each.name)
def test_at_most_one_board_of_equal_rows_in_twenty_makes_a_false_claim(scenario: simulation.Scenario) -> None:
    boards = 300
    for rows, seeds in ((2, 2), (5, 2), (5, 3), (20, 3), (5, 5), (20, 5)):
        error = simulation.family_wise_error(scenario, rows, seeds, boards)
        assert error < 0.05 + 3 * (0.05 * 0.95 / boards) ** 0.5


def test_differences_of_several_standard_errors_are_found() -> None:
    of_examples, of_seeds = simulation.without_seeds[0], simulation.with_seeds[0]
    assert simulation.power(of_examples, 5, 1, 100, 5.0) > 0.95
    assert simulation.power(of_seeds, 5, 3, 100, 10.0) > 0.95
    one_spreads = next(each for each in simulation.with_seeds if each.name == "one row with 10 times the deviation")
    assert simulation.power(one_spreads, 5, 10, 100, 8.0) > 0.7  # of the three usual rows and the one that spreads


rows_of_seeds = st.lists(st.lists(st.floats(-100, 100), min_size=3, max_size=3), min_size=2, max_size=7)


@settings(deadline=None)  # the first of a number of rows computes a table
@given(rows_of_seeds, st.sampled_from(["higher", "lower"]))
def test_a_range_contains_the_position_by_value(rows: list[list[float]], direction: str) -> None:
    measured = sorted(map(over_seeds, rows), key=lambda row: row.value, reverse=direction == "higher")
    for position, (low, high) in enumerate(ranges(measured, direction), 1):
        assert 1 <= low <= position <= high <= len(rows)


@settings(deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=7), st.floats(0.01, 10))
def test_ranges_follow_the_order_of_values_if_errors_are_equal(values: list[float], spread: float) -> None:
    measured = [over_seeds([value - spread, value, value + spread]) for value in sorted(values, reverse=True)]
    found = ranges(measured, "higher")
    assert [low for low, _ in found] == sorted(low for low, _ in found)
    assert [high for _, high in found] == sorted(high for _, high in found)


@settings(deadline=None)
@given(rows_of_seeds, st.floats(-50, 50))
def test_ranges_depend_neither_on_the_origin_nor_on_the_sign_convention(rows: list[list[float]], shift: float) -> None:
    values = np.array(rows).round(3)
    as_they_are = ranges([over_seeds(each) for each in values], "higher")
    assert ranges([over_seeds(-each) for each in values], "lower") == as_they_are
    moved = [over_seeds(each + round(shift, 3)) for each in values]
    if not np.isclose(np.diff(np.sort(values.mean(1))), 0).any():
        assert ranges(moved, "higher") == as_they_are


def test_seeds_of_one_model_entered_as_seven_rows_get_no_claims(
    fit: Callable[..., nn.Module], small_kinds: dict[str, Data]
) -> None:
    data, config = small_kinds["binarized"], VAE.Config(latent_dim=2, hidden=(16,))

    def row(seeds: Sequence[int]) -> Measured:
        estimates = []
        for seed in seeds:
            model = fit(VAE, config, data, epochs=3, seed=seed)
            estimates.append(ELBO(ELBO.Config()).measure(model, data, Context(Noise(0), config, 128, seed)))
        values = np.mean([each.per_example.numpy() for each in estimates], axis=0)
        return Measured({s: e.value for s, e in zip(seeds, estimates, strict=True)}, ids=np.arange(60), values=values)

    rows = [row((2 * i, 2 * i + 1)) for i in range(7)]
    assert len({each.value for each in rows}) == 7
    assert ranges(rows) == [(1, 7)] * 7
