"""A difference is explained: its intervals, what they rest on, and how many seeds would decide it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from test_boards import named, record, seeds_of

from harness.contracts.events import Record, Values
from harness.errors import UsageError
from harness.leaderboard.board import build_measured_boards
from harness.leaderboard.explain import explain, render
from harness.results.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def explained(records: list[Record], store: Store, a: str = "a", b: str = "b") -> dict[str, Any]:
    (found,) = explain(build_measured_boards(records, store), a, b)
    return found


def test_two_rows_with_three_seeds_have_the_interval_of_the_pooled_t_test(store: Store) -> None:
    records = [*seeds_of("a", -100.0, stderr=0.0), *seeds_of("b", -103.0, stderr=0.0)]
    found = explained(records, store)
    theirs = stats.ttest_ind([-101, -100, -99], [-104, -103, -102]).confidence_interval(0.95)
    assert found["single_interval"] == pytest.approx([theirs.low, theirs.high])
    assert found["simultaneous_interval"] == found["single_interval"]
    assert (found["difference"], found["is_decided"], found["seeds"]) == (3.0, True, [3, 3])
    assert "a is better" in render([found])


def test_rows_of_models_that_two_plugins_call_the_same_can_be_named(store: Store) -> None:
    records = [
        each
        for plugin, value in (("one.py", -100.0), ("two.py", -110.0))
        for each in seeds_of("a", value, model={**named("a"), "distribution": plugin})
    ]
    found = explained(records, store, "a distribution=one.py", "a distribution=two.py")
    assert found["difference"] == 10.0


def with_a_deviation_of_1(name: str, value: float, seeds: int) -> list[Record]:
    return [
        record(name, value + (-1) ** seed * ((seeds - 1) / seeds) ** 0.5, seed=seed, depends_on_seed=True, stderr=0.0)
        for seed in range(seeds)
    ]


def test_a_difference_that_seeds_leave_open_says_how_many_would_decide_it(store: Store) -> None:
    def rows(seeds: int) -> list[Record]:
        return [*with_a_deviation_of_1("a", 0.0, seeds), *with_a_deviation_of_1("b", 1.0, seeds)]

    found = explained(rows(4), store)
    assert found["is_decided"] is False
    needed = found["seeds_needed"]
    assert f"decided by {needed} seeds of each model" in render([found])
    assert needed in (9, 10)  # the least even number is 10
    assert explained(rows(10), store)["is_decided"] is True
    assert explained(rows(8), store)["is_decided"] is False


def test_the_model_with_fewer_seeds_may_be_all_that_needs_more(store: Store) -> None:
    def rows(seeds_of_b: int) -> list[Record]:
        return [*with_a_deviation_of_1("a", 0.0, 8), *with_a_deviation_of_1("b", 1.5, seeds_of_b)]

    found = explained(rows(2), store)
    assert (found["is_decided"], found["seeds_needed"]) == (False, 8)
    assert explained(rows(8), store)["is_decided"] is True


def test_no_number_of_seeds_decides_a_difference_that_the_test_examples_leave_open(store: Store) -> None:
    records = [*seeds_of("a", -100.0, stderr=5.0), *seeds_of("b", -101.0, stderr=5.0)]
    found = explained(records, store)
    assert (found["is_decided"], found["seeds_needed"]) == (False, None)
    assert "Even 1,000 seeds would not decide it" in render([found])
    assert found["stderr_over_examples"] == pytest.approx(50**0.5)
    assert found["stderr_over_seeds"] == pytest.approx((2 / 3) ** 0.5)


def test_what_a_comparison_is_paired_on_is_named(store: Store) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(size=60)
    records = [record("a", 0.0, n=60), record("b", 0.0, n=60), record("c", 0.0)]
    for place in (0, 1):
        noisy = Values(np.arange(60), values + 0.1 * generator.normal(size=60))
        records[place] = store.append(records[place], noisy)
    found = explained(records, store)
    assert found["paired_on"] == "60 test examples"
    assert found["simultaneous_interval"][1] > found["single_interval"][1]
    assert "paired on 60 test examples" in render([found])
    assert "not paired" in render([explained(records, store, "a", "c")])


def test_a_row_without_rank_says_why_it_is_not_compared(store: Store) -> None:
    found = explained([record("a", depends_on_seed=True), *seeds_of("b", -101.0)], store)
    assert found["no_rank"] == "a has no rank: one seed; run with 3 seeds"
    assert "No interval: a has no rank: one seed; run with 3 seeds." in render([found])


def settings_of_a() -> list[Record]:
    sizes = [record("a", -100.0 - k, model=named("a", {"latent_dim": k})) for k in (2, 5)]
    return [*sizes, record("b")]


def test_a_row_is_named_by_its_model_with_its_label(store: Store) -> None:
    found = explained(settings_of_a(), store, "a latent_dim=5", "b")
    assert found["rows"] == ["a latent_dim=5", "b"]


@pytest.mark.parametrize(("a", "b", "message"), [
    ("a", "b", "'a' names several rows: 'a latent_dim=2', 'a latent_dim=5'"),
    ("a latent_dim=3", "b", "unknown row 'a latent_dim=3'. Did you mean 'a latent_dim="),
    ("b", "c", "unknown row 'c'."),
    ("b", "b", "'b' and 'b' are the same row"),
])  # fmt: skip
def test_a_name_that_is_unknown_or_ambiguous_is_refused(store: Store, a: str, b: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        explained(settings_of_a(), store, a, b)
    assert message in str(error.value)


def test_a_row_without_a_value_says_why_it_has_none(store: Store) -> None:
    records = [record("a"), record("b"), record("c", None)]
    with pytest.raises(UsageError, match=r"'c' has no value, but n/a: it has no encoder\. With one: a, b\."):
        explained(records, store, "a", "c")


def test_boards_that_both_have_the_rows_are_named(store: Store) -> None:
    other = {"metric": named("iw-bound")}
    records = [record("a"), record("b"), record("a", **other), record("b", **other)]
    with pytest.raises(UsageError, match=r"several boards have both rows: digits · elbo; digits · iw-bound\. Choose"):
        explained(records, store)
    with pytest.raises(UsageError, match="no board has both 'a' and 'c'"):
        explained([*records, record("c", metric=named("psnr"))], store, "a", "c")
