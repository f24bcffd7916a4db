"""Checks of metrics of samples: the data have the distributions that are stated, and rules judge values."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image
from torch import Tensor

from harness import Noise
from harness.calibration import sample_checks
from harness.calibration.rules import Either, Falls, Flat, Near, Peaks, Proportional, Rises, Rule, Within
from harness.calibration.sample_checks import Check, Sets, Streams, Variant, checks
from harness.calibration.truth_table import Cost, TruthRow, truth_rows
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.words import counted

if TYPE_CHECKING:
    from tests.conftest import Call

by_name = {check.name: check for check in checks}
variants = [pytest.param(check, each, id=f"{check.name} {each.label}") for check in checks for each in check.variants]


def drawn(name: str, label: str, point: float) -> Sets:
    variant = next(each for each in by_name[name].variants if each.label == label)
    return variant.draw(point, Streams(Noise(1), Noise(2)))


@pytest.mark.parametrize(("check", "variant"), variants)
def test_a_comparison_has_three_sets_of_finite_features(check: Check, variant: Variant) -> None:
    point = variant.points[-2]
    sets = variant.draw(point, Streams(Noise(1), Noise(2)))
    assert len({each.shape[1] for each in sets}) == 1
    assert all(each.dtype == torch.float64 and each.isfinite().all() for each in sets)
    assert list(variant.points) == sorted(set(variant.points))
    again = variant.draw(point, Streams(Noise(1), Noise(2)))
    assert all(a.equal(b) for a, b in zip(sets, again, strict=True))


@pytest.mark.parametrize(("check", "variant"), variants)
def test_a_right_metric_can_meet_every_demand(check: Check, variant: Variant) -> None:
    """No two demands contradict each other: there are values at the points that meet all of them."""
    for demands in variant.demands.values():
        curves: list[Callable[[float], float]] = [
            lambda x: 1.0, lambda x: 0.0, lambda x: sample_checks._overlap, lambda x: 1 - x,
            lambda x: float(x == variant.points[0]), lambda x: float(x > variant.points[0]),
            lambda x: float(x < 3), lambda x: 1 - (variant.points.index(x) / (len(variant.points) - 1)),
            *(lambda x, top=top: float(x == top) for top in variant.points),
            lambda x: min(x, 5) / 5, lambda x: min(1.0, 6 - x) if x > 5 else 1.0, lambda x: float(x <= 5),
        ]  # fmt: skip
        assert any(
            all(each.rule({x: curve(x) for x in variant.points}) != "fail" for each in demands) for curve in curves
        ), check.name


def test_means_differ_by_what_is_stated() -> None:
    samples, test, _ = drawn("mean-difference", "8 dimensions", 3.0)
    assert (samples.mean(0) - test.mean(0)).sub(3).abs().max() < 0.3  # in units of the deviation of 1,000 points
    assert test.mean(0).abs().max() < 1e-12
    assert test.std(0, correction=0).sub(1).abs().max() < 1e-12


@pytest.mark.parametrize("where", ["data", "samples"])
def test_the_outlier_is_one_point_in_one_set(where: str) -> None:
    samples, test, _ = drawn("outlier", f"outlier in the {where}, 8 dimensions", 0.0)
    far = [int((each.norm(dim=1) > 7).sum()) for each in (samples, test)]
    assert far == ([0, 1] if where == "data" else [1, 0])


def test_deviations_differ_by_what_is_stated() -> None:
    samples, test, _ = drawn("deviation", "8 dimensions", 10.0)
    assert float(samples.std() / test.std()) == pytest.approx(10, rel=0.05)


def test_nine_of_ten_modes_are_dropped() -> None:
    for name, nearly in (("dropped-one-by-one", 6.0), ("dropped-together", 42 / 49)):
        counts = []
        for point in (0.0, nearly, by_name[name].variants[0].points[-1]):
            samples, test, _ = drawn(name, "1 dimension", point)
            first, last = test.quantile(0.05), test.quantile(0.95)  # about the means of the outer modes
            modes = (9 * (samples - first) / (last - first)).round().unique(return_counts=True)[1]
            counts.append(sorted(modes[modes > 25].tolist()))  # not the tails of outer modes
        assert [len(each) for each in counts] == [10, 4 if name == "dropped-one-by-one" else 10, 1]
    assert counts[1][-1] == pytest.approx(1000 * 7 / 16, rel=0.1)  # the weights are 1 and nine times 1 / 7


def test_invented_modes_are_far_from_the_data() -> None:
    samples, test, _ = drawn("invented-modes", "2 dimensions", 10.0)
    apart = torch.cdist(samples, test).amin(1) > 0.1
    assert float(apart.double().mean()) == pytest.approx(0.5, abs=0.05)


def test_spheres_have_the_radius_that_is_stated() -> None:
    samples, test, _ = drawn("spheres", "16 dimensions", 0.55)
    assert float(samples.norm(dim=1).mean() / test.norm(dim=1).mean()) == pytest.approx(0.55, rel=0.01)


@pytest.mark.parametrize("dimensions", [1, 8])
@pytest.mark.parametrize("name", ["cubes", "cubes-samples"])
def test_a_fifth_of_the_samples_is_in_the_cube_of_the_data(name: str, dimensions: int) -> None:
    samples, test, _ = drawn(name, counted(dimensions, "dimension"), 10000.0)
    inside = ((samples >= test.amin(0)) & (samples <= test.amax(0))).all(1)
    assert float(inside.double().mean()) == pytest.approx(0.2, abs=0.02)
    assert (len(samples), len(test)) == (10000, 10000 if name == "cubes" else 1000)


def test_the_ball_is_in_the_hole_of_the_torus() -> None:
    ball, torus = 0.8 * sample_checks.ball(Noise(0), 500, 3), sample_checks.torus(Noise(1), 500)
    assert float(torus[:, :2].norm(dim=1).min()) >= 0.9 > 0.8 >= float(ball.norm(dim=1).max())
    assert float(ball.norm(dim=1).pow(3).mean()) == pytest.approx(0.8**3 / 2, rel=0.1)  # uniform in volume
    assert float(torus[:, 2].abs().max()) <= 0.1
    samples, test, _ = drawn("torus", "data in the ball", 1128.0)
    assert float(torch.cdist(samples, test).min()) > 0


def test_modes_are_as_far_apart_as_stated() -> None:
    samples, test, _ = drawn("merged-modes", "1 dimension", 5.0)
    assert float(samples.std() / test.std()) == pytest.approx(math.sqrt(26 / (1 + 25 / 4)), rel=0.1)
    assert float((test.abs() < 0.2).double().mean()) < 0.03 < float((samples.abs() < 0.2).double().mean())


def test_one_dimension_is_disjoint_and_others_are_equal() -> None:
    for samples, test, _ in (
        drawn("scaled-dimension", "2 dimensions", 1000.0),
        drawn("disjoint-dimension", "2 to 1,001 dimensions", 18.0),
    ):
        assert float((samples[:, 0] < test[:, 0].max()).double().mean()) < 0.05
        assert (samples[:, 1:].mean(0) - test[:, 1:].mean(0)).abs().max() < 0.2
        assert (samples[:, 1:].std(0) / test[:, 1:].std(0)).sub(1).abs().max() < 0.2


def test_the_heavy_tail_has_the_exponent_that_is_stated() -> None:
    _, test, _ = drawn("heavy-tail", "2 dimensions", 0.0)
    tail = test[:, 1] - test[:, 1].min()
    assert float(tail.max() / tail.median()) > 50


def test_one_set_is_rounded() -> None:
    for rounded in ("data", "samples"):
        samples, test, _ = drawn("rounding", f"rounded {rounded}", 1.0)
        distinct = [len(each.unique()) for each in (samples, test)]
        assert distinct[rounded == "data"] < 12 < 990 < distinct[rounded != "data"]


def test_a_share_of_the_samples_is_far_from_the_data() -> None:
    samples, test, _ = drawn("bad-samples", "2 dimensions", 0.4)
    assert int((torch.cdist(samples, test).amin(1) > 10).sum()) == 400


def test_samples_are_repeated() -> None:
    samples, _, _ = drawn("duplicates", "8 dimensions", 20.0)
    assert (len(samples), len(samples.unique(dim=0))) == (1000, 50)


def test_blur_keeps_the_mean_and_lowers_the_variance_of_a_pixel() -> None:
    samples, test, _ = drawn("blur", "64 pixels", 1.0)
    assert float(samples.var() / test.var()) == pytest.approx((3 / 8) ** 2, rel=0.05)  # Σ w² is 3/8 along an axis
    flat, _, _ = drawn("blur", "64 pixels", 8.0)
    assert float(flat.var() / test.var()) < 0.05


@pytest.mark.parametrize("dimensions", [2, 16])
def test_gaussians_have_the_moments_that_are_stated(dimensions: int) -> None:
    (variant,) = (each for each in by_name["known-distance"].variants if each.label == f"{dimensions} dimensions")
    assert variant.gaussians is not None
    mean, covariance, other_mean, other_covariance = variant.gaussians(2.0)
    samples, test, _ = variant.draw(2.0, Streams(Noise(1), Noise(2)))
    scale = covariance.diagonal().sqrt()
    assert ((samples.mean(0) - mean) / scale).abs().max() < 0.15
    assert ((samples.T.cov() - covariance) / scale / scale[:, None]).abs().max() < 0.2
    assert (test.mean(0) - other_mean).abs().max() < 0.15
    assert (test.T.cov() - other_covariance).abs().max() < 0.2


def test_a_share_of_the_samples_is_copied_from_the_training_data() -> None:
    samples, test, train = drawn("memorised", "32 dimensions", 0.5)
    assert int((torch.cdist(samples, train).amin(1) < 1e-6).sum()) == 500
    assert int((torch.cdist(test, train).amin(1) < 1e-6).sum()) == 0


def test_data_stay_and_samples_change_between_points() -> None:
    variant = by_name["mean-difference"].variants[0]
    first, second = (variant.draw(0.0, Streams(Noise(1), Noise(seed))) for seed in (2, 3))
    assert first.test.equal(second.test)
    assert not first.samples.equal(second.samples)


cases: list[tuple[Rule, Sequence[float], str]] = [
    (Near(0, 1), [0.95, 7], "pass"),
    (Near(0, 1), [0.94, 7], "fail"),
    (Near(0, 1), [math.nan, 7], "fail"),
    (Within({0: 10.0}), [10.4], "pass"),
    (Within({0: 10.0}), [10.6], "fail"),
    (Flat(), [0.5, 0.54, 0.5], "pass"),
    (Flat(), [0.5, 0.56, 0.5], "fail"),
    (Falls(), [0.9, 0.95, 0.2, 0.1], "pass"),
    (Falls(), [0.9, 0.8, 0.75], "fail"),  # too little
    (Falls(), [0.8, 0.95, 0.1], "fail"),  # higher later
    (Falls(), [0.9, 0.1, 0.3], "fail"),  # rises again
    (Falls(by=1), [0.9, 0.85, 0.1], "fail"),  # too late
    (Falls(by=1), [0.9, 0.7, 0.1], "pass"),
    (Rises(), [0.1, 0.2, 0.9], "pass"),
    (Rises(), [0.9, 0.2, 0.1], "fail"),
    (Peaks(1), [0.1, 0.9, 0.1], "pass"),
    (Peaks(1), [0.1, 0.9, 0.8], "fail"),
    (Peaks(1), [0.1, 0.8, 0.95, 0.1], "fail"),
    (Peaks(1), [0.3, 0.8, 0.1, 0.3], "fail"),
    (Proportional(), [0.98], "pass"),
    (Either(low=Near(0, 0), high=Near(0, 1)), [0.02], "low"),
    (Either(low=Near(0, 0), high=Near(0, 1)), [1.02], "high"),
    (Either(low=Near(0, 0), high=Near(0, 1)), [0.5], "fail"),
]


@pytest.mark.parametrize(("rule", "values", "verdict"), cases)
def test_a_rule_judges_a_curve(rule: Rule, values: Sequence[float], verdict: str) -> None:
    assert rule(dict(enumerate(values))) == verdict


def test_a_share_that_is_not_proportional_fails() -> None:
    assert Proportional()({0: 0.9, 0.5: 0.45, 1: 0.0}) == "pass"
    assert Proportional()({0: 0.9, 0.5: 0.6, 1: 0.0}) == "fail"


plugin = """
import harness, torch

def inside(points, centres):  # 3 nearest neighbours
    reach = torch.cdist(centres, centres).topk(4, largest=False).values.amax(1)
    return float((torch.cdist(points, centres) <= reach).any(1).double().mean())

class Precision:
    unit, direction, aspect = "share", "higher", "fidelity"
    def __init__(self, config):
        pass
    def measure(self, model, data, context):
        raise harness.NotApplicable("only compare is used here")
    def compare(self, samples, test, train):
        return inside(samples, test)

class Recall(Precision):
    aspect = "diversity"
    def compare(self, samples, test, train):
        return inside(test, samples)

class RecallComputedAsPrecision(Recall):
    def compare(self, samples, test, train):
        return inside(samples, test)

class Copies(Precision):
    direction, aspect = "lower", "memorisation"
    def compare(self, samples, test, train):
        return float((torch.cdist(samples, train).amin(1) < 1e-6).double().mean())

class SquaredDifference(Precision):
    direction, aspect = "lower", "overall"
    def compare(self, samples, test, train):
        return float((samples.mean(0) - test.mean(0)).square().sum() + (samples.std(0) - test.std(0)).square().sum())
    def between_gaussians(self, mean, covariance, other_mean, other_covariance):
        scales = [each.diagonal().sqrt() for each in (covariance, other_covariance)]
        return float((mean - other_mean).square().sum() + (scales[0] - scales[1]).square().sum())

class FaultyDifference(SquaredDifference):
    def compare(self, samples, test, train):
        return super().compare(samples, test, train) ** 0.5

class Particular(Precision):
    def compare(self, samples, test, train):
        raise harness.NotApplicable("it needs images")

class OfLogits(Precision):
    aspect = None

names = {"mine-precision": Precision, "mine-recall": Recall, "mine-faulty-recall": RecallComputedAsPrecision,
         "mine-copies": Copies, "mine-difference": SquaredDifference, "mine-faulty-difference": FaultyDifference,
         "mine-particular": Particular, "mine-logits": OfLogits}

@harness.hookimpl
def harness_metrics():
    return [harness.MetricSpec(name, factory, "a metric of samples") for name, factory in names.items()]
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plugin") / "mine.py"
    path.write_text(plugin)
    return path


def judged(file: Path, metric: str, check: str, replications: int = 1) -> dict[str, TruthRow]:
    """Return the rows of a check by topic."""
    component = resolve_component(Registry.load((file,)).get("metric", metric), {})
    return {row.topic: row for row in truth_rows(component, by_name[check], replications)}


def test_a_small_truth_table(file: Path) -> None:
    expected = {
        ("mine-faulty-recall", "invented-modes"): {"bounds": "fail", "shape": "fail"},
        ("mine-recall", "invented-modes"): {"bounds": "pass", "shape": "pass"},
        ("mine-precision", "heavy-tail"): {"bounds": "fail", "shape": "pass"},
        ("mine-precision", "duplicates"): {"shape": "n/a"},
        ("mine-recall", "duplicates"): {"shape": "pass"},
        ("mine-precision", "memorised"): {"shape": "n/a"},
        ("mine-precision", "known-distance"): {"bounds": "n/a"},
        ("mine-copies", "memorised"): {"shape": "pass"},
        ("mine-copies", "duplicates"): {"shape": "n/a"},
        ("mine-difference", "memorised"): {"shape": "fail"},
        ("mine-difference", "deviation"): {"bounds": "n/a", "shape": "pass"},
        ("mine-difference", "spheres"): {"bounds": "n/a", "shape": "pass"},
        ("mine-recall", "deviation"): {"bounds": "fail", "shape": "pass"},
        ("mine-difference", "known-distance"): {"bounds": "pass"},
    }
    found = {key: {topic: row.outcome for topic, row in judged(file, *key).items()} for key in expected}
    assert found == expected


def test_recall_that_is_computed_as_precision_fails(file: Path) -> None:
    right, wrong = (judged(file, name, "invented-modes")["shape"] for name in ("mine-recall", "mine-faulty-recall"))
    assert (right.outcome, wrong.outcome) == ("pass", "fail")
    assert wrong.reasons == ("2 dimensions: rises with covered modes",)


def test_a_distance_without_its_square_is_not_the_closed_form(file: Path) -> None:
    wrong = judged(file, "mine-faulty-difference", "known-distance")["bounds"]
    assert wrong.outcome == "fail"
    assert "within 5% of the closed form" in wrong.reasons[0]


def test_a_metric_that_does_not_apply_has_the_reason(file: Path) -> None:
    row = judged(file, "mine-particular", "blur")["shape"]
    assert (row.outcome, row.reasons) == ("n/a", ("64 pixels: it needs images",))


def test_a_metric_must_keep_to_one_convention_for_wide_samples(file: Path) -> None:
    variant = by_name["deviation"].variants[0]
    low, high = ({"diversity": [replace(variant.demands["diversity"][2], rule=Either(*rules))]}
                 for rules in ((Near(1, 0), Near(1, 1)), (Near(1, 1), Near(1, 0))))  # fmt: skip
    both = replace(by_name["deviation"], variants=tuple(replace(variant, demands=each) for each in (low, high)))
    component = resolve_component(Registry.load((file,)).get("metric", "mine-recall"), {})
    (row,) = truth_rows(component, both, 1)
    assert (row.outcome, row.convention) == ("fail", None)
    (row,) = truth_rows(component, replace(both, variants=both.variants[:1]), 1)
    assert (row.outcome, row.convention) == ("pass", "high")


def test_replications_average_and_large_sets_need_fewer(file: Path) -> None:
    variant = by_name["cubes"].variants[0]
    assert [variant.replications(point, 10) for point in variant.points] == [9, 6, 3]
    assert by_name["blur"].variants[0].replications(8.0, 10) == 10
    component = resolve_component(Registry.load((file,)).get("metric", "mine-recall"), {})
    few = Cost.of(component, [by_name["blur"], by_name["cubes"]], 10)
    assert few.comparisons == 10 * 5 + 3 * (9 + 6 + 3)
    assert few.seconds > 0
    calls: list[int] = []
    truth_rows(component, by_name["blur"], 2, lambda: calls.append(1))
    assert len(calls) == 2 * 5


def test_the_command_prints_and_draws_the_table(
    call: Call, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_checks, "checks", (by_name["invented-modes"], by_name["memorised"]))
    some = ("calibrate", "--plugin", str(file), "--metric", "mine-precision,mine-faulty-recall,mine-copies")
    done = call(*some, "--replications", "1", "--out", "here")
    assert done.code == 0, done.err
    lines = {" ".join(line.split()[:2]): line.split()[2:] for line in done.out.splitlines()}
    assert lines["invented-modes shape"] == ["✓", "✗", "–"]
    assert lines["memorised shape"] == ["–", "–", "✓"]
    assert "Dropped modes lower diversity" in done.out
    assert "30 comparisons: 2 checks of 3 metrics of samples, less than a minute" in done.err
    Image.open(tmp_path / "here" / "truth-table.png").verify()
    rows = json.loads(call(*some, "--replications", "1", "--format", "json").out)
    assert len(rows) == 3 * 3
    assert rows[1] == {
        "metric": "mine-precision", "settings": {}, "aspect": "fidelity", "check": "invented-modes", "topic": "shape",
        "shows": by_name["invented-modes"].shows, "outcome": "pass", "convention": None, "reasons": [],
        "replications": 1,
    }  # fmt: skip


def test_estimators_and_metrics_of_samples_run_one_after_the_other(
    call: Call, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_checks, "checks", (by_name["invented-modes"],))
    few = ("--models", "ppca", "--examples", "5", "--latent-sizes", "2", "--set", "log-likelihood-iw.k=10")
    names = ("--plugin", str(file), "--metric", "mine-recall,log-likelihood-iw", "--replications", "1")
    done = call("calibrate", *few, *names, "--format", "json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row.get("estimator", row.get("metric")) for row in rows] == ["log-likelihood-iw"] * 2 + ["mine-recall"] * 2
    assert sorted(path.name for path in (tmp_path / "calibration").iterdir()) == ["bias.png", "truth-table.png"]


def test_settings_of_a_metric_of_samples_are_given_by_name(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_checks, "checks", (by_name["invented-modes"],))
    options = ("--metric", "precision", "--set", "precision.k=4", "--replications", "1", "--format", "json")
    rows = json.loads(call("calibrate", *options).out)
    assert {row["settings"]["k"] for row in rows} == {4}


def test_a_metric_that_the_checks_do_not_suit_is_refused(call: Call, file: Path) -> None:
    done = call("calibrate", "--plugin", str(file), "--metric", "mine-logits")
    assert done.code == 2
    assert "estimator of log p(x) or metric of samples 'mine-logits'" in done.err


def test_grids_are_even_and_symmetric() -> None:
    assert sample_checks.grid(-6, 6, 7) == (-6, -4, -2, 0, 2, 4, 6)
    assert sample_checks.log_grid(-1, 1, 3) == (0.1, 1, 10)
    steps = [b / a for a, b in pairwise(sample_checks.log_grid(-3, 3, 20))]
    assert max(steps) == pytest.approx(min(steps))


def test_standard_units_are_those_of_the_test_data() -> None:
    samples, test = torch.tensor([[3.0], [5.0]]).double(), torch.tensor([[1.0], [5.0]]).double()
    found: list[Tensor] = list(sample_checks.standardized(samples, test))
    assert [each.flatten().tolist() for each in found] == [[0, 1], [-1, 1], [-1, 1]]
