"""The comparison of two versions finds what became worse, and says nothing of what chance explains."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from versions import Cell, cell, component, failing, side_of, store_of

from harness import MetricSpec
from harness.regression.findings import Finding, holm, outcome
from harness.regression.quality import Side, compare_quality
from harness.results.store import Store

Compare = Callable[..., list[Finding]]
tolerances = {"elbo": 0.25}


@pytest.fixture
def compared(tmp_path: Path) -> Compare:
    """Store the cells of two versions and compare them."""
    folders = (tmp_path / str(number) for number in itertools.count())

    def compared(base: Sequence[Cell], head: Sequence[Cell], notes: list[str] | None = None, **given: Any) -> Any:
        sides = [side_of(next(folders), cells) for cells in (base, head)]
        return compare_quality(*sides, given.get("tolerances", tolerances), ([] if notes is None else notes).append)

    return compared


def drawn(generator: np.random.Generator, shift: Sequence[float], own: float = 1.0, n: int = 400) -> list[Cell]:
    """Return cells of which each example has the same large part in all, and a part of its own."""
    common = np.random.default_rng(0).normal(-100, 20, n)
    return [cell(seed, values=common + each + own * generator.normal(size=n)) for seed, each in enumerate(shift)]


def test_a_difference_is_the_paired_t_test_over_seeds_if_examples_add_nothing(compared: Compare) -> None:
    old, new = np.random.default_rng(1).normal(-100, 1, (2, 5))
    cells = [[cell(seed, value, stderr=0.0) for seed, value in enumerate(each)] for each in (old, new)]
    (finding,) = compared(*cells)
    theirs = stats.ttest_rel(new, old)
    interval = theirs.confidence_interval(0.95)
    assert (finding.low, finding.high) == pytest.approx((interval.low, interval.high))
    assert finding.difference == pytest.approx((new - old).mean())


def test_a_difference_is_the_paired_t_test_over_examples_if_seeds_add_nothing(compared: Compare) -> None:
    generator = np.random.default_rng(2)
    old = generator.normal(-100, 20, 300)
    new = old + generator.normal(0.1, 0.5, 300)
    (finding,) = compared([cell(0, values=old, depends_on_seed=False)], [cell(0, values=new, depends_on_seed=False)])
    interval = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert (finding.low, finding.high) == pytest.approx((interval.low, interval.high))


def test_a_difference_is_the_paired_t_test_over_groups(compared: Compare) -> None:
    generator = np.random.default_rng(3)
    old = generator.normal(5, 1, 10)
    new = old + generator.normal(0.1, 0.2, 10)
    given = {"stderr": 1.0, "degrees_of_freedom": 9.0, "estimator_stderr": 0.0, "depends_on_seed": False}
    sides = [[cell(0, each.mean(), group_values=tuple(each), **given)] for each in (old, new)]
    (finding,) = compared(*sides)
    interval = stats.ttest_rel(new, old).confidence_interval(0.95)
    assert (finding.low, finding.high) == pytest.approx((interval.low, interval.high))


@pytest.mark.parametrize(("old_freedom", "new_freedom"), [(15.0, 15.0), (3.0, 31.0), (31.0, 3.0)])
def test_a_difference_over_groups_has_no_more_freedom_than_its_values(
    compared: Compare, old_freedom: float, new_freedom: float
) -> None:
    old, new = np.random.default_rng(3).normal(5, 1, (2, 32))
    given = {"stderr": 1.0, "estimator_stderr": 0.0, "depends_on_seed": False}
    (finding,) = compared(
        [cell(0, old.mean(), group_values=tuple(old), degrees_of_freedom=old_freedom, **given)],
        [cell(0, new.mean(), group_values=tuple(new), degrees_of_freedom=new_freedom, **given)],
    )
    margin = stats.t.ppf(0.975, min(old_freedom, new_freedom)) * stats.sem(new - old)
    assert (finding.high - finding.low) / 2 == pytest.approx(margin)


def test_both_sources_of_error_are_added(compared: Compare) -> None:
    generator = np.random.default_rng(4)
    base, head = drawn(generator, [0.1, -0.2, 0.4, 0.0, 0.3]), drawn(generator, [0.0, -0.6, 0.5, 0.2, -0.4])
    gaps = np.array([new.values - old.values for (_, old), (_, new) in zip(base, head, strict=True)])
    over_seeds, over_examples = gaps.mean(1).var(ddof=1) / 5, gaps.mean(0).var(ddof=1) / 400
    margin = np.hypot(stats.t.ppf(0.975, 4) * over_seeds**0.5, stats.t.ppf(0.975, 399) * over_examples**0.5)
    (finding,) = compared(base, head)
    assert (finding.low, finding.high) == pytest.approx((gaps.mean() - margin, gaps.mean() + margin), rel=1e-3)


def test_the_noise_of_the_measurement_is_added_where_seeds_do_not_show_it(compared: Compare) -> None:
    quiet, noisy = (
        compared(
            *(
                [cell(seed, value + shift, n=1000, counted="samples", stderr=stderr) for seed in range(5)]
                for value, shift in ((-100, 0.0), (-100, -0.5))
            )
        )[0]
        for stderr in (1e-6, 0.5)
    )
    assert quiet.verdict == "worse"
    assert noisy.verdict == "inconclusive"


def test_a_drop_is_worse_and_a_rise_is_better(compared: Compare) -> None:
    generator = np.random.default_rng(5)
    seeds = [0.0] * 5
    old = drawn(generator, seeds)
    lower, higher = drawn(generator, [-1.0] * 5), drawn(generator, [1.0] * 5)
    (worse,), (better,) = compared(old, lower), compared(old, higher)
    assert (worse.verdict, better.verdict) == ("worse", "better")
    assert worse.is_regression
    assert worse.difference == pytest.approx(-1, abs=0.2)
    assert worse.name == "elbo of vae on digits"
    assert (worse.unit, worse.direction, worse.tolerance) == ("nats", "higher", 0.25)


def test_where_lower_is_better_a_rise_is_worse(compared: Compare) -> None:
    sides = [[cell(s, 1 + shift + s * 0.001, stderr=0.0, direction="lower") for s in range(5)] for shift in (0, 1)]
    assert compared(*sides)[0].verdict == "worse"
    assert compared(*reversed(sides))[0].verdict == "better"


def test_equal_values_are_the_same_even_with_one_seed(compared: Compare) -> None:
    (finding,) = compared([cell()], [cell()])
    assert (finding.verdict, finding.difference) == ("same", 0)
    assert finding.reason == "equal to the last digit"


def test_a_small_difference_is_the_same(compared: Compare) -> None:
    generator = np.random.default_rng(6)
    (finding,) = compared(drawn(generator, [0.0] * 5, 0.1), drawn(generator, [-0.05] * 5, 0.1))
    assert finding.verdict == "same"
    assert finding.low is not None
    assert finding.low > -0.25


def test_a_small_rise_is_the_same_and_not_better(compared: Compare) -> None:
    sides = [[cell(s, -100 + shift + s * 0.001, stderr=0.0) for s in range(5)] for shift in (0, 0.1)]
    assert compared(*sides)[0].verdict == "same"


def test_what_seeds_do_not_decide_is_inconclusive(compared: Compare) -> None:
    (finding,) = compared(
        [cell(s, -100.0, stderr=0.0) for s in range(3)],
        [cell(s, -100 + each, stderr=0.0) for s, each in enumerate([-1.0, 0.5, -0.3])],
    )
    assert finding.verdict == "inconclusive"
    assert finding.reason is not None
    assert "run with more seeds" in finding.reason


def test_one_seed_decides_nothing(compared: Compare) -> None:
    (finding,) = compared([cell(stderr=0.1)], [cell(value=-500.0, stderr=0.1)])
    assert finding.verdict == "inconclusive"
    assert (
        finding.reason == "one seed; run with 3 seeds or more; not paired on test examples, since BASE has no "
        "per-example values"
    )


def test_one_seed_decides_a_value_that_does_not_depend_on_it(compared: Compare) -> None:
    count = {"metric": component("parameters"), "depends_on_seed": False, "stderr": 0.0, "direction": "lower"}
    sides = [[cell(value=value, unit="count", **count)] for value in (1000.0, 1020.0)]
    assert compared(*sides)[0].verdict == "worse"
    assert compared(*reversed(sides))[0].verdict == "better"


def test_without_any_error_nothing_is_decided(compared: Compare) -> None:
    (finding,) = compared([cell(s) for s in range(3)], [cell(s, -101.0) for s in range(3)])
    assert (finding.verdict, finding.low) == ("inconclusive", None)
    assert finding.reason is not None
    assert "its error is not known" in finding.reason


@pytest.mark.parametrize("direction", ["higher", "lower", None])
def test_a_reversed_sign_is_worse_in_any_direction(compared: Compare, direction: str | None) -> None:
    sides = [[cell(0, sign * 100.0, stderr=0.5, direction=direction)] for sign in (-1, 1.01)]
    (finding,) = compared(*sides)
    assert finding.verdict == "worse"
    assert finding.reason is not None
    assert finding.reason.startswith("the sign is reversed")


def test_values_near_zero_may_change_their_sign(compared: Compare) -> None:
    sides = [[cell(s, sign * 0.1, stderr=1.0) for s in range(3)] for sign in (-1, 1)]
    assert compared(*sides)[0].verdict != "worse"
    assert compared(*sides, tolerances={})[0].verdict != "worse"


def test_a_value_without_a_direction_may_not_change(compared: Compare) -> None:
    def rate(shift: float) -> list[Cell]:
        return [cell(s, 20 + shift + s * 0.001, stderr=0.0, direction=None) for s in range(5)]

    for shift, verdict in ((1, "worse"), (-1, "worse"), (0.1, "same"), (-0.1, "same")):
        (finding,) = compared(rate(0), rate(shift))
        assert finding.verdict == verdict
        if verdict == "worse":
            assert finding.reason == "it changed, and neither higher nor lower is better"


def test_a_cell_that_only_the_base_has_is_missing(compared: Compare) -> None:
    other = cell(model=component("vae", latent_dim=10, changed=("latent_dim",)))
    notes: list[str] = []
    found = compared([cell(), other], [cell()], notes)
    assert [each.verdict for each in found] == ["same", "missing"]
    assert found[1].name == "elbo of vae latent_dim=10 on digits"
    assert found[1].is_regression
    assert notes == []


def test_a_cell_that_only_the_head_has_is_noted(compared: Compare) -> None:
    notes: list[str] = []
    found = compared([cell()], [cell(), cell(metric=component("kl"))], notes)
    assert [each.verdict for each in found] == ["same"]
    assert notes == ["1 cell only in HEAD"]


def test_a_cell_that_has_lost_its_value_is_newly_failing(compared: Compare) -> None:
    (finding,) = compared([cell(s) for s in range(3)], [failing(s) for s in range(3)])
    assert (finding.verdict, finding.base, finding.head) == ("newly failing", -100, None)
    assert finding.reason == "error, ZeroDivisionError: by design"
    (some,) = compared([cell(s) for s in range(3)], [cell(0), failing(1, "diverged", "loss became inf"), cell(2)])
    assert (some.verdict, some.reason) == ("newly failing", "seed 1: diverged, loss became inf")


def test_an_error_where_a_metric_did_not_apply_is_newly_failing(compared: Compare) -> None:
    assert compared([failing(status="n/a", reason="no encoder")], [failing()])[0].verdict == "newly failing"


def test_a_cell_that_no_longer_fails_is_better(compared: Compare) -> None:
    (finding,) = compared([failing()], [cell()])
    assert (finding.verdict, finding.head) == ("better", -100)
    assert finding.reason == "no longer fails; in BASE error, ZeroDivisionError: by design"
    seeds = [cell(s) for s in range(4)]
    (some,) = compared([failing(0), *seeds[1:]], seeds)
    assert (some.verdict, some.reason) == ("better", "seed 0 no longer fails; equal to the last digit")
    lower = [cell(s, -110 + s * 0.001, stderr=0.0) for s in range(6)]
    (worse,) = compared([failing(0), *[cell(s, stderr=0.0) for s in range(1, 6)]], lower)
    assert worse.verdict == "worse"


def test_a_cell_that_fails_in_both_is_the_same(compared: Compare) -> None:
    (finding,) = compared([failing()], [failing(reason="LookupError: not today")])
    assert (finding.verdict, finding.reason) == ("same", "no value in both: error, LookupError: not today")
    assert outcome([finding]) == "nothing"
    assert outcome([finding, *compared([cell()], [cell()])]) == "passed"
    (other,) = compared([failing(status="diverged", reason="inf")], [failing(status="n/a", reason="no encoder")])
    assert other.verdict == "inconclusive"


@pytest.mark.parametrize(("kind", "name"), [("metric", "elbo"), ("dataset", "digits")])
def test_other_versions_of_a_metric_or_data_set_are_not_compared(compared: Compare, kind: str, name: str) -> None:
    settings = {"samples": 1} if kind == "metric" else {"binarization": "dynamic"}
    (finding,) = compared([cell()], [cell(value=-200.0, **{kind: component(name, "2", **settings)})])
    assert finding.verdict == "inconclusive"
    what = "metric" if kind == "metric" else "data set"
    assert finding.reason == f"not compared: {what} {name} has version 1 in BASE, 2 in HEAD"


def test_other_versions_of_a_model_are_compared(compared: Compare) -> None:
    sides = [
        [cell(s, value + s * 0.001, stderr=0.0, model=component("vae", version, latent_dim=2)) for s in range(5)]
        for version, value in (("1", -100), ("2", -105))
    ]
    assert compared(*sides)[0].verdict == "worse"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": component("vae", changed=("latent_dim",), latent_dim=10)}, "vae.latent_dim 2 → 10"),
        ({"metric": component("elbo", samples=9)}, "elbo.samples 1 → 9"),
        ({"dataset": component("digits", binarization="static")}, "digits.binarization dynamic → static"),
        ({"budget": {"epochs": 40, "batch_size": 128, "weights": "last"}}, "epochs 20 → 40"),
        ({"budget": {"steps": 9, "batch_size": 128, "weights": "last"}}, "epochs 20 → none, steps none → 9"),
        ({"evaluation_seed": 3}, "evaluation seed 0 → 3"),
        ({"split": "validation"}, "split test → validation"),
    ],
)
def test_other_settings_are_not_compared(compared: Compare, changes: dict[str, Any], words: str) -> None:
    (finding,) = compared([cell()], [cell(value=-200.0, **changes)])
    assert (finding.verdict, finding.reason) == ("inconclusive", f"not compared: {words}")


def test_other_engines_are_not_compared(compared: Compare) -> None:
    engine = {**cell()[0].engine, "threads": 2, "execution": "compiled"}
    (finding,) = compared([cell()], [cell(engine=engine)])
    assert finding.reason == "not compared: step mode eager → compiled, threads 1 → 2"


def test_a_new_setting_or_default_of_a_model_belongs_to_the_model(compared: Compare) -> None:
    new = component("vae", "2", latent_dim=3, dropout=0.0)
    sides = [
        [cell(s, -100 + s * 0.001, stderr=0.0) for s in range(5)],
        [cell(s, -105 + s * 0.002, stderr=0.0, model=new) for s in range(5)],
    ]
    (finding,) = compared(*sides)
    assert finding.verdict == "worse"
    assert finding.reason is not None
    assert finding.reason.startswith("vae.latent_dim 2 → 3; vae.dropout none → 0")


def test_a_cell_is_compared_with_the_one_that_is_most_like_it(compared: Compare) -> None:
    other = component("vae", changed=("latent_dim",), latent_dim=10)
    found = compared([cell(), cell(model=other, value=-90.0)], [cell(model=other, value=-90.0), cell()])
    assert [(each.verdict, each.difference) for each in found] == [("same", 0), ("same", 0)]


@pytest.mark.parametrize(("field", "value"), [("unit", "bits"), ("measure", "density"), ("direction", "lower")])
def test_other_kinds_of_values_are_not_compared(compared: Compare, field: str, value: str) -> None:
    (finding,) = compared([cell()], [cell(value=-200.0, **{field: value})])
    assert finding.verdict == "inconclusive"
    assert finding.reason is not None
    assert finding.reason.startswith(f"not compared: the {field} is '")


def test_stored_timings_are_not_compared(compared: Compare) -> None:
    notes: list[str] = []
    assert compared([cell(machine="EPYC, 2 cores")], [cell(machine="EPYC, 2 cores", value=-200.0)], notes) == []
    assert notes == [f"{side}: 1 timing left out: stored timings were not taken in turn" for side in ("BASE", "HEAD")]


def test_the_newest_version_in_a_store_is_compared(compared: Compare) -> None:
    later = {"ended": "2026-11-26T12:00:00+00:00", "model": component("vae", "2", latent_dim=2)}
    notes: list[str] = []
    (finding,) = compared([cell()], [cell(s, -90.0, **later) for s in range(3)] + [cell()], notes)
    assert (finding.head, notes) == (-90, ["HEAD: 1 cell of older versions left out"])


def test_seeds_that_only_one_version_has_are_left_out(compared: Compare) -> None:
    base = [cell(s, -100 + s * 0.001, stderr=0.0) for s in range(5)]
    (finding,) = compared(base, [cell(s, -110 + s * 0.002, stderr=0.0) for s in range(2, 7)])
    assert (finding.verdict, finding.base) == ("worse", pytest.approx(-99.997))
    assert finding.reason is not None
    assert finding.reason.startswith("compared over 3 seeds with a value in both")
    (none,) = compared([cell(20)], [cell(21)])
    assert (none.verdict, none.reason) == ("inconclusive", "no seed is in both")


def test_names_that_are_alike_have_what_distinguishes_them(compared: Compare) -> None:
    longer = {"epochs": 40, "batch_size": 128, "weights": "last"}
    found = compared([cell(), cell(budget=longer), cell(split="validation")], [])
    assert [each.name for each in found] == [
        "elbo of vae on digits, 20 epochs, batch size 128",
        "elbo of vae on digits, 40 epochs, batch size 128",
        "elbo of vae on digits, validation split",
    ]


def test_an_error_that_favours_the_model_shows_no_improvement_and_no_loss(compared: Compare) -> None:
    def values(shift: float, **changes: Any) -> list[Cell]:
        return [cell(s, -100 + shift + s * 0.001, stderr=0.0, **changes) for s in range(5)]

    biased = {"biased_in_favour": True}
    assert compared(values(0), values(5, **biased))[0].verdict == "inconclusive"
    assert compared(values(0), values(-5, **biased))[0].verdict == "worse"
    (finding,) = compared(values(0, **biased), values(-5))
    assert (finding.verdict, finding.reason) == ("inconclusive", "the error in BASE is known to favour the model")


def test_a_tolerance_is_one_percent_unless_the_metric_has_one(compared: Compare) -> None:
    sides = [[cell(s, value + s * 0.001, stderr=0.0) for s in range(5)] for value in (-100, -100.5)]
    for given, verdict, tolerance in (({}, "same", 1), ({"elbo": 0.1}, "worse", 0.1), ({"elbo": 2.0}, "same", 2)):
        (finding,) = compared(*sides, tolerances=given)
        assert (finding.verdict, finding.tolerance) == (verdict, pytest.approx(tolerance, rel=1e-4))


def test_a_metric_may_not_have_a_negative_tolerance() -> None:
    assert MetricSpec("elbo", "a.b:C", "bound", tolerance=0.25).tolerance == 0.25
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="give a number that is at least 0"):
            MetricSpec("elbo", "a.b:C", "bound", tolerance=wrong)


def test_records_of_an_older_schema_are_compared(tmp_path: Path) -> None:
    head = side_of(tmp_path / "head", [cell(s, -110 + s * 0.001, stderr=0.1) for s in range(5)])
    store = store_of(tmp_path / "base", [cell(s, -100 + s * 0.002, stderr=0.1) for s in range(5)])
    lines = [json.loads(line) for line in store.records_file.read_text().splitlines()]
    for line in lines:
        del line["group_values"], line["depends_on_seed"], line["biased_in_favour"], line["checksum"]
        line["schema"] = 1
        line["diagnostics"] = {"marked": "few samples"}
    store.records_file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    older = Store(tmp_path / "base")
    (finding,) = compare_quality(Side(older.records(), older.values), head, tolerances)
    assert finding.verdict == "worse"
    assert finding.reason == "not paired on test examples, since BASE has no per-example values"


def test_examples_that_are_not_the_same_are_not_paired(tmp_path: Path) -> None:
    generator = np.random.default_rng(7)
    base, head = (drawn(generator, [0.0] * 3, n=n) for n in (50, 60))
    (finding,) = compare_quality(side_of(tmp_path / "b", base), side_of(tmp_path / "h", head), tolerances)
    assert finding.reason is not None
    assert "not paired on test examples, since they are not the same in both" in finding.reason


def test_damaged_per_example_values_are_reported(tmp_path: Path) -> None:
    generator = np.random.default_rng(8)
    sides = [side_of(tmp_path / name, drawn(generator, [0.0] * 3)) for name in ("b", "h")]
    for path in (tmp_path / "b" / "values").glob("*.npz"):
        path.write_bytes(b"torn")
    (finding,) = compare_quality(*sides, tolerances)
    assert finding.reason is not None
    assert "differs from what was written" in finding.reason


def test_all_cells_together_have_the_level_of_holm(compared: Compare) -> None:
    seeds = np.random.default_rng(9).normal(0, 0.2, 5)
    p = stats.ttest_1samp(-0.95 + seeds, -0.25, alternative="less").pvalue
    assert 0.001 < p < 0.01

    def cells(count: int, shift: Sequence[float]) -> list[Cell]:
        models = [component(f"vae-{each}", latent_dim=2) for each in range(count)]
        return [cell(s, -100 + each, stderr=0.0, model=m) for m in models for s, each in enumerate(shift)]

    for count, verdict in ((1, "worse"), (20, "inconclusive")):
        found = compared(cells(count, [0.0] * 5), cells(count, list(-0.95 + seeds)))
        assert {each.verdict for each in found} == {verdict}
        assert holm([p] * count, 0.01, count)[0] == (verdict == "worse")


def test_cells_that_are_equal_bit_for_bit_do_not_hide_one_that_is_worse(compared: Compare) -> None:
    generator = np.random.default_rng(9)
    shift = -0.95 + generator.normal(0, 0.2, 5)
    same = [component(f"vae-{each}", latent_dim=2) for each in range(20)]

    def verdict(stderr: float, **more: Any) -> str:
        equal = [cell(s, -100 - s, stderr=stderr, model=model, **more) for model in same for s in range(5)]
        base, head = ([cell(s, -100 + each, stderr=0.0) for s, each in enumerate(side)] for side in ([0.0] * 5, shift))
        return str(compared(base + equal, head + equal)[0].verdict)

    assert verdict(0.5) == "worse"
    assert verdict(0.0, depends_on_seed=False) == "worse"
    assert verdict(0.0) == "inconclusive"


@pytest.mark.parametrize(("groups", "why"), [(2, "the numbers of groups differ"), (0, "only some records have values")])
def test_other_groups_of_examples_are_not_paired(compared: Compare, groups: int, why: str) -> None:
    base, head = (
        [cell(seed, -100.0 + seed + shift, stderr=0.1, group_values=tuple(range(number))) for seed in range(3)]
        for shift, number in ((0.0, 3), (0.5, groups))
    )
    (finding,) = compared(base, head)
    assert f"not paired on test examples, since {why}" in (finding.reason or "")


def simulated(
    trials: int, drop: float, cells: int, tolerance: float, over_seeds: float, seeds: int = 5, of_examples: float = 1.0
) -> tuple[float, float]:
    """Return the share of comparisons with a cell found worse, and the share of their cells.

    The differences have ``of_examples`` times as much variance from 200 test examples as from seeds.
    """
    generator = np.random.default_rng([trials, round(100 * drop), cells])
    alarms, found = 0, 0
    for _ in range(trials):
        sides = []
        kept = {}
        common = generator.normal(-100, 20, 200)
        for shift in (0.0, -drop):
            records = []
            for number in range(cells):
                examples = generator.normal(0, over_seeds * (of_examples * 200 / (2 * seeds)) ** 0.5, 200)
                for seed in range(seeds):
                    values = common + examples + shift + generator.normal(0, over_seeds / 2**0.5)
                    record, kept[number, seed, shift] = cell(
                        seed, values=values, model=component(f"vae-{number}"), fit_key=f"{number},{seed},{shift}"
                    )
                    records.append(record)
            by_key = {record.cell_key: kept[tuple(json.loads(f"[{record.fit_key}]"))] for record in records}
            sides.append(Side(records, lambda record, kept=by_key: kept.get(record.cell_key)))
        findings = compare_quality(*sides, {"elbo": tolerance})
        worse = sum(each.verdict == "worse" for each in findings)
        alarms += worse > 0
        found += worse
    return alarms / trials, found / trials / cells


@pytest.mark.parametrize(("cells", "seeds", "of_examples"), [(1, 5, 1.0), (10, 5, 1.0), (1, 3, 0.1), (10, 3, 0.1)])
def test_equal_versions_raise_an_alarm_in_one_comparison_of_a_hundred(
    cells: int, seeds: int, of_examples: float
) -> None:
    """If few seeds agree by chance, the many test examples must not make their spread seem well known."""
    trials = 1500 // cells
    alarms, _ = simulated(trials, 0.0, cells, 0.0, 0.3, seeds, of_examples)
    assert alarms <= 0.01 + 3 * (0.01 * 0.99 / trials) ** 0.5


def test_a_drop_of_one_nat_is_found_with_five_seeds_in_95_percent() -> None:
    _, found = simulated(300, 1.0, 1, 0.25, 0.15)
    assert found >= 0.95


def test_a_model_may_come_from_a_file_of_another_name(compared: Compare) -> None:
    """Else two versions of a plugin would be compared only if their files have one name."""
    old, new = (component("vae", latent_dim=2) | {"distribution": name} for name in ("old.py", "new.py"))
    (finding,) = compared(
        [cell(seed, -100.0 + seed, model=old, stderr=0.1) for seed in range(3)],
        [cell(seed, -140.0 + seed, model=new, stderr=0.1) for seed in range(3)],
    )
    assert finding.verdict == "worse"


def test_what_was_asked_for_and_is_gone_is_missing_though_the_head_has_other_settings(compared: Compare) -> None:
    two, ten, twenty = (cell(model=component("vae", changed=("latent_dim",), latent_dim=n)) for n in (2, 10, 20))
    found = compared([two, ten], [ten, twenty])
    assert [each.verdict for each in found] == ["missing", "same"]
    (alone,) = compared([two], [twenty])
    assert (alone.verdict, outcome([alone])) == ("inconclusive", "nothing")


def test_what_a_version_had_no_time_for_is_inconclusive(tmp_path: Path) -> None:
    both = [cell(model=component(model)) for model in ("vae", "gan")]
    whole, cut = side_of(tmp_path / "whole", both), side_of(tmp_path / "cut", both[:1])
    unfinished = replace(cut, unfinished=[(model, "elbo") for model in ("vae", "gan")])
    expected = {"elbo of vae on digits": ("same", "equal to the last digit"),
                "elbo of gan on digits": ("inconclusive", "time was up")}  # fmt: skip
    for sides in ((whole, unfinished), (unfinished, whole)):
        found = compare_quality(*sides, {})
        assert {each.name.replace(" latent_dim=2", ""): (each.verdict, each.reason) for each in found} == expected
    (never,) = compare_quality(
        replace(unfinished, records=[], unfinished=[("vae", "elbo")]), Side([], whole.values), {}
    )
    assert (never.name, never.verdict, never.reason) == ("elbo of vae", "inconclusive", "time was up")
    assert [each.verdict for each in compare_quality(whole, cut, {})] == ["same", "missing"]
