"""Metrics of fidelity and diversity, compared with double loops, the values of other code, and closed forms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from statistics import fmean, median, stdev
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness import Context, Data, Estimate, Noise, NotApplicable
from harness_metrics.quality import one_class
from harness_metrics.quality.clipped import ClippedCoverage, ClippedDensity, expected_counts
from harness_metrics.quality.cover import PrecisionCover, RecallCover
from harness_metrics.quality.integrated import IntegratedAlphaPrecision, IntegratedBetaRecall
from harness_metrics.quality.neighbours import Coverage, Density
from harness_metrics.quality.probabilistic import ProbabilisticPrecision, ProbabilisticRecall
from harness_metrics.quality.resampling import by_half_samples
from harness_metrics.quality.sample_quality import SampleQuality
from harness_metrics.quality.symmetric import SymmetricPrecision, SymmetricRecall

Points = Sequence[Sequence[float]]

metrics = [
    *(ProbabilisticPrecision, ProbabilisticRecall),
    *(PrecisionCover, RecallCover),
    *(SymmetricPrecision, SymmetricRecall),
    *(IntegratedAlphaPrecision, IntegratedBetaRecall),
    *(ClippedDensity, ClippedCoverage),
]
integrated_metrics = (IntegratedAlphaPrecision, IntegratedBetaRecall)


def compared(metric: type[SampleQuality], samples: Tensor, real: Tensor, **values: Any) -> float:
    """Return the value with these settings."""
    return metric(metric.Config(**values)).compare(samples, real, real[:0])  # type: ignore[attr-defined, call-arg]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_values_are_those_of_the_original_code() -> None:
    """Values of the authors' functions on these features, in Räisä et al. (2025) and in Salvy et al. (2025).

    α-precision and β-recall are those of the evaluation without the one-class network, around the mean real point. The
    authors' code of precision and recall cover swaps their names, compared with the algorithm in the paper.
    """
    far = torch.cat([normal(80, 5, seed=4) + 50, normal(80, 5, seed=6)])
    features = [
        (0.9 * normal(300, 4) + 0.4, normal(350, 4, seed=1)),
        (0.6 * normal(200, 3, seed=2), normal(200, 3, seed=3)),
        (far, normal(160, 5, seed=5)),
    ]
    recorded: dict[type[SampleQuality], list[float]] = {
        ProbabilisticPrecision: [0.7895247754161767, 0.9717999012237893, 0.3365096113481111],
        ProbabilisticRecall: [0.5911209356778124, 0.389463250301046, 0.7932495275485467],
        PrecisionCover: [0.91, 0.795, 0.5],
        RecallCover: [0.7828571428571428, 0.915, 0.775],
        SymmetricPrecision: [0.9133333333333333, 0.89, 0.475],
        SymmetricRecall: [0.8828571428571429, 0.77, 0.79375],
        IntegratedAlphaPrecision: [0.9418390791477829, 0.42620688850252797, 0.4469827566745467],
        IntegratedBetaRecall: [0.44807882004834965, 0.4978596922187367, 0.27068965666895284],
        ClippedDensity: [1.0, 1.0, 0.3899782135076252],
        ClippedCoverage: [0.8106312292358804, 0.7213930348258707, 0.40993788819875776],
    }
    for metric, expected in recorded.items():
        tolerance = 1e-7 if metric in integrated_metrics else 1e-12  # theirs are computed in float32
        found = [compared(metric, *each) for each in features]
        assert found == pytest.approx(expected, rel=tolerance), metric
    with_network = {  # recorded from a network with the same initial weights
        IntegratedAlphaPrecision: [0.9342845901625406, 0.5437931072866093, 0.4107758622166926],
        IntegratedBetaRecall: [0.4346798031655108, 0.4582758581201577, 0.26249999829150483],
    }
    for metric, expected in with_network.items():
        found = [compared(metric, *each, embedding="one-class") for each in features]
        assert found == pytest.approx(expected, rel=1e-3), metric


def kth(points: Points, k: int) -> list[float]:
    """Return the distance of each point to its k-th nearest other point."""
    return [sorted(math.dist(x, y) for j, y in enumerate(points) if j != i)[k - 1] for i, x in enumerate(points)]


def loops(fake: Points, real: Points, k: int) -> dict[type[SampleQuality], float]:
    """Compute the metrics that depend on neighbours alone by loops over pairs of points."""

    def probability(points: Points, centres: Points) -> float:
        radius = 1.2 * fmean(kth(centres, k))
        if radius == 0:
            return fmean(min(math.dist(y, x) for x in centres) == 0 for y in points)
        return fmean(1 - math.prod(min(math.dist(y, x) / radius, 1) for x in centres) for y in points)

    def cover(points: Points, others: Points) -> float:
        reach = kth(points, 3 * k)
        return fmean(sum(math.dist(x, y) <= r for y in others) >= k for x, r in zip(points, reach, strict=True))

    def smaller(points: Points, others: Points) -> float:
        ours, theirs = kth(points, k), kth(others, k)
        inside = [any(math.dist(x, y) <= r for y, r in zip(others, theirs, strict=True)) for x in points]
        around = [any(math.dist(x, y) <= r for y in others) for x, r in zip(points, ours, strict=True)]
        return min(fmean(inside), fmean(around))

    limited = [min(r, median(kth(real, k))) for r in kth(real, k)]

    def balls(y: Sequence[float], own: int | None) -> int:
        return sum(i != own and math.dist(x, y) <= limited[i] for i, x in enumerate(real))

    density = fmean(min(balls(y, None), k) for y in fake) / fmean(min(balls(y, i), k) for i, y in enumerate(real))
    near = [sum(math.dist(x, y) <= r for y in fake) for x, r in zip(real, kth(real, k), strict=True)]
    lower = [
        expected_count(m, len(real), k) < Fraction(sum(min(j, k) for j in near), len(real))
        for m in range(len(fake) + 1)
    ]
    return {
        ProbabilisticPrecision: probability(fake, real),
        ProbabilisticRecall: probability(real, fake),
        PrecisionCover: cover(fake, real),
        RecallCover: cover(real, fake),
        SymmetricPrecision: smaller(fake, real),
        SymmetricRecall: smaller(real, fake),
        ClippedDensity: min(density, 1),
        ClippedCoverage: fmean(lower),
    }


def expected_count(m: int, n: int, k: int) -> Fraction:
    """Return E[min(J, k)], where each of m samples is one of J with the same probability from Beta(k, n − k)."""

    def beta(a: int, b: int) -> Fraction:
        return Fraction(math.factorial(a - 1) * math.factorial(b - 1), math.factorial(a + b - 1))

    return sum(
        (min(j, k) * math.comb(m, j) * beta(k + j, n - k + m - j) / beta(k, n - k) for j in range(m + 1)), Fraction(0)
    )


# Small whole numbers give many duplicates and equal distances, and exact sums of squares.
clouds = st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=7, max_size=10)


@settings(deadline=None, max_examples=60)
@given(fake=clouds, real=clouds, k=st.integers(1, 2))
def test_the_values_equal_double_loops_even_with_ties(fake: list, real: list, k: int) -> None:
    a, b = (torch.tensor(each, dtype=torch.float64) for each in (fake, real))
    for metric, exact in loops(fake, real, k).items():
        assert compared(metric, a, b, k=k) == pytest.approx(exact, abs=1e-12), metric


def integral(shares: Sequence[float]) -> float:
    return 1 - 2 * sum(abs(i / 29 - share) for i, share in enumerate(shares)) / 29


def quantile(values: Sequence[float], i: int) -> float:
    """Return the quantile i / 29, by linear interpolation between the sorted values."""
    ordered, place = sorted(values), Fraction(i * (len(values) - 1), 29)
    below, above = ordered[math.floor(place)], ordered[math.ceil(place)]
    return below + float(place - math.floor(place)) * (above - below)


def mean_point(points: Points) -> list[float]:
    return [fmean(each) for each in zip(*points, strict=True)]


@pytest.mark.parametrize("n", [30, 59, 100])  # with 30 and 59 points quantiles are at points
@pytest.mark.parametrize("seed", range(4))
def test_integrated_precision_and_recall_equal_double_loops_with_duplicates(n: int, seed: int) -> None:
    a, b = 0.8 * normal(n, 3, seed=2 * seed) + 0.3, normal(n + 7, 3, seed=2 * seed + 1)[: n + 7 * (seed % 2)]
    a[:5], a[5:8], b[-4:] = b[:5], a[8], b[9]
    fake, real = a.tolist(), b.tolist()
    inner = [math.dist(x, mean_point(real)) for x in real]
    outer = [math.dist(y, mean_point(real)) for y in fake]
    precision = [fmean(each <= quantile(inner, i) + 1e-12 for each in outer) for i in range(30)]
    assert compared(IntegratedAlphaPrecision, a, b) == pytest.approx(integral(precision), abs=1e-12)
    nearest = [min(fake, key=lambda y, x=x: math.dist(x, y)) for x in real]
    near = [math.dist(x, y) <= r for x, y, r in zip(real, nearest, kth(real, 1), strict=True)]
    distance = [math.dist(y, mean_point(fake)) for y in nearest]
    recall = [
        fmean(each and d <= quantile(distance, i) + 1e-12 for each, d in zip(near, distance, strict=True))
        for i in range(30)
    ]
    assert compared(IntegratedBetaRecall, a, b) == pytest.approx(integral(recall), abs=1e-12)


@pytest.mark.parametrize(("m", "n", "k"), [(12, 9, 1), (20, 15, 4), (3, 40, 5), (60, 60, 5)])
def test_the_expected_counts_of_clipped_coverage_are_exact(m: int, n: int, k: int) -> None:
    exact = [float(expected_count(each, n, k)) for each in range(m + 1)]
    assert expected_counts(m, n, k).tolist() == pytest.approx(exact, abs=1e-11)


def means(replications: int, bad: float = 0, n: int = 200) -> dict[type[SampleQuality], tuple[float, float]]:
    """Return means and standard errors over pairs of normal sets; the first ``bad`` · n samples are far away."""
    found: dict[type[SampleQuality], list[float]] = {metric: [] for metric in (*metrics, Density, Coverage)}
    for seed in range(replications):
        samples, real = normal(n, 3, seed=2 * seed), normal(n, 3, seed=2 * seed + 1)
        samples[: round(bad * n)] += 100
        for metric, values in found.items():
            values.append(compared(metric, samples, real))
    return {metric: (fmean(values), stdev(values) / math.sqrt(replications)) for metric, values in found.items()}


def share_of_orders(k: int, at_least: int, n: int = 200) -> float:
    """Return the probability that a ball up to the k-th of n − 1 points contains enough of n other points.

    All orders of the 2n − 1 points by their distance from the centre are equally likely.
    """
    orders = [math.comb(k - 1 + j, j) * math.comb(2 * n - 1 - k - j, n - j) for j in range(at_least)]
    return 1 - sum(orders) / math.comb(2 * n - 1, n)


def test_equal_distributions_have_their_known_values() -> None:
    found = means(replications=40)
    exact: dict[type[SampleQuality], float] = {
        Density: 1,
        Coverage: share_of_orders(k=5, at_least=1),
        PrecisionCover: share_of_orders(k=15, at_least=5),
        RecallCover: share_of_orders(k=15, at_least=5),
    }
    for metric, value in exact.items():
        mean, error = found[metric]
        assert abs(mean - value) < 4 * error, metric
    assert exact[Coverage] == pytest.approx(1 - 2**-5, abs=0.002)  # Naeem et al. (2020)
    for metric in (ClippedDensity, ClippedCoverage):  # about half of the values are clipped to 1
        assert 0.94 < found[metric][0] < 1
    assert 0.9 < found[IntegratedAlphaPrecision][0] < 1
    assert found[IntegratedBetaRecall][0] == pytest.approx(0.5, abs=0.05)  # half of the nearest points are samples


@pytest.mark.parametrize("bad", [0.25, 0.5, 0.75])
def test_clipped_values_are_the_share_of_good_samples(bad: float) -> None:
    found = means(replications=30, bad=bad)
    for metric in (ClippedDensity, ClippedCoverage):
        mean, error = found[metric]
        assert abs(mean - (1 - bad)) < 4 * error + 0.01, metric


fidelity = [ProbabilisticPrecision, PrecisionCover, SymmetricPrecision, ClippedDensity]
diversity = [ProbabilisticRecall, RecallCover, SymmetricRecall, ClippedCoverage]


def test_a_dropped_mode_lowers_diversity_and_an_invented_mode_lowers_fidelity() -> None:
    one, two, real = normal(400, 4), normal(400, 4, seed=1), normal(400, 4, seed=2)
    for each in (two, real):
        each[:200] += 50
    for metric in (*fidelity, *diversity):
        alike = compared(metric, two, real)
        dropped, invented = compared(metric, one, real), compared(metric, two, one)
        lower, same = (invented, dropped) if metric in fidelity else (dropped, invented)
        assert lower < 0.8 * alike, metric
        if metric is ClippedCoverage:  # the share of good samples, so that an invented mode halves it too
            assert same == pytest.approx(0.5, abs=0.05)
        else:
            assert same > 0.8 * alike, metric


@pytest.mark.parametrize("metric", metrics)
def test_equal_points_have_a_value_of_at_most_one(metric: type[SampleQuality]) -> None:
    same, spread = torch.zeros(40, 2, dtype=torch.float64), normal(40, 2)
    for samples, real in ((same, spread), (spread, same), (same, same)):
        assert -1 / 29 - 1e-12 <= compared(metric, samples, real) <= 1


def test_the_error_of_a_value_clipped_to_one_is_that_of_the_unclipped_value() -> None:
    narrow, real = 0.6 * normal(200, 3), normal(200, 3, seed=1)
    even = real + 0.4 * normal(200, 3, seed=2)  # one sample near each real point
    for metric, samples in ((ClippedDensity, narrow), (ClippedCoverage, even)):
        found = metric(metric.Config()).resample(samples, real, real[:0])
        free = by_half_samples(samples, real, metric(metric.Config()).unclipped)
        assert free.value > 1
        assert found.value == compared(metric, samples, real) == 1
        assert found.stderr == pytest.approx(free.stderr)
        assert found.stderr > 0
        assert fmean(found.pseudo_values) == pytest.approx(1)


def test_the_radii_of_clipped_density_are_at_most_their_median() -> None:
    real, samples = (torch.tensor(each, dtype=torch.float64)[:, None] for each in ([0, 1, 10, 13], [11.5, 50, 50, 50]))
    # Radii 1, 1, 3, 3 become 1, 1, 2, 2. Half of the real points and a quarter of the samples are in one ball or more.
    assert compared(ClippedDensity, samples, real, k=1) == 0.5


def test_the_network_is_trained_once_per_set_of_real_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_class, "_trained", {})
    monkeypatch.setattr(one_class, "kept", 2)
    real = [normal(30, 3, seed=seed) for seed in range(3)]
    torch.rand(1)
    state = torch.random.get_rng_state()
    first = one_class.one_class(real[0])
    assert torch.equal(torch.random.get_rng_state(), state)
    assert one_class.one_class(real[0].clone()) is first
    assert all(one_class.one_class(each) is not first for each in real[1:])
    again = one_class.one_class(real[0])
    assert again is not first
    assert torch.equal(again[0].weight, first[0].weight)


class UniformNoise:
    """A sampler of uniform noise."""

    def sample(self, n: int, noise: Noise) -> Tensor:
        return noise.uniform(n, 1, 6, 5)


def measured(metric: type[SampleQuality], data: Data, **values: Any) -> Estimate:
    config = metric.Config(features="pixels", **values)  # type: ignore[attr-defined]
    return metric(config).measure(UniformNoise(), data, Context(Noise(0), None, None, 0))  # type: ignore[call-arg]


@pytest.mark.parametrize("metric", metrics)
def test_each_metric_has_an_error_and_names_its_k(small_data: Data, metric: type[SampleQuality]) -> None:
    found = measured(metric, small_data)
    assert found.stderr is not None
    assert found.stderr > 0
    assert ("k = " in str(found.measure)) == (metric not in integrated_metrics)


def test_the_embedding_is_part_of_the_measure(small_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IntegratedAlphaPrecision, "has_error", False)  # an error takes 30 more networks
    plain, mapped = (measured(IntegratedAlphaPrecision, small_data, embedding=each) for each in ("none", "one-class"))
    assert str(mapped.measure) == f"{plain.measure}, one-class network"
    assert mapped.value != plain.value


@pytest.mark.parametrize(
    ("metric", "k", "needed"),
    [(PrecisionCover, 4, 26), (ProbabilisticRecall, 12, 26), (ClippedDensity, 12, 26), (SymmetricRecall, 12, 26)],
)
def test_too_few_samples_are_refused(small_data: Data, metric: type[SampleQuality], k: int, needed: int) -> None:
    with pytest.raises(NotApplicable, match=f"needs {needed} samples"):
        measured(metric, small_data, k=k, samples=needed - 1)
    assert measured(metric, small_data, k=k, samples=needed).n == needed
