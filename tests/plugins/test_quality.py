"""Metrics of sample quality, compared with closed forms, brute force, torchmetrics and known samplers."""

from __future__ import annotations

import math
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from harness import Context, Data, DataSource, Diverged, Estimate, Examples, Noise, NotApplicable
from harness.data.transforms import Binarize
from harness.results.comparison import Measured, compare
from harness_datasets.idx import MNIST
from harness_datasets.mnist_10k import MNIST10k
from harness_linear.ppca import PPCA
from harness_metrics.quality import classifier
from harness_metrics.quality.classifier import classifier_of
from harness_metrics.quality.distances import distances, nearest, radii, sums_over_others
from harness_metrics.quality.features import feature_space
from harness_metrics.quality.frechet import FrechetDistance, Moments, frechet_distance, moments, square_root
from harness_metrics.quality.kernel import KernelDistance, cubic_kernel
from harness_metrics.quality.modes import ModeCoverage
from harness_metrics.quality.neighbours import Coverage, Density, Precision, Recall
from harness_metrics.quality.resampling import by_half_samples, by_jackknife, each_left_out
from harness_metrics.quality.spread import Diversity, Memorisation

neighbours = [Precision, Recall, Density, Coverage]
everything = [FrechetDistance, KernelDistance, *neighbours, ModeCoverage, Memorisation, Diversity]


class CyclesThrough:
    """A sampler that cycles through given examples."""

    def __init__(self, examples: Tensor) -> None:
        self.examples = examples
        self.shown = 0

    def sample(self, n: int, noise: Noise) -> Tensor:
        index = torch.arange(self.shown, self.shown + n) % len(self.examples)
        self.shown += n
        return self.examples[index]


def measured(metric, model, data: Data, cache: Path | None = None, **values) -> Estimate:
    with torch.no_grad():
        return metric(metric.Config(**values)).measure(model, data, Context(Noise(0), None, None, 0, cache=cache))


def compared(metric, samples: Tensor, test: Tensor, **values) -> float:
    return metric(metric.Config(**values)).compare(samples, test, test[:0])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def vectors(test: Tensor, train: Tensor | None = None) -> Data:
    """Return data with this test and validation split, and with this training split, or the same without one."""
    return Data.from_tensors(*(Examples(x.float()) for x in (test if train is None else train, test, test)))


@pytest.fixture(scope="module")
def mnist() -> Data:
    return MNIST10k(MNIST10k.Config()).load(DataSource(None, Path(), print))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train classifiers for a tenth of the usual steps."""
    monkeypatch.setattr(classifier, "steps", 150)


def test_the_frechet_distance_of_gaussians_equals_the_closed_form() -> None:
    rotation = torch.linalg.qr(normal(5, 5)).Q
    one, other = torch.tensor([1.0, 4, 9, 0.25, 0], dtype=torch.float64), torch.linspace(0.1, 2, 5, dtype=torch.float64)
    a, b = (
        Moments(mean, rotation * variances @ rotation.T)
        for mean, variances in ((normal(5, seed=1), one), (normal(5, seed=2), other))
    )
    exact = (a.mean - b.mean).square().sum() + (one.sqrt() - other.sqrt()).square().sum()  # covariances that commute
    assert frechet_distance(a, b, square_root(b.covariance)) == pytest.approx(float(exact), rel=1e-9, abs=1e-6)


def test_the_frechet_distance_agrees_with_scipy_for_covariances_that_do_not_commute() -> None:
    from scipy.linalg import sqrtm

    a, b = moments(normal(50, 6) @ normal(6, 6, seed=1)), moments(normal(60, 6, seed=2) @ normal(6, 6, seed=3) + 1)
    cross = sqrtm((a.covariance @ b.covariance).numpy()).trace().real
    exact = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    assert frechet_distance(a, b, square_root(b.covariance)) == pytest.approx(float(exact), rel=1e-10)


class Identity(nn.Module):
    """Returns features unchanged, with their number for torchmetrics."""

    num_features = 8

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_frechet_and_kernel_distance_agree_with_torchmetrics() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance
    from torchmetrics.image.kid import KernelInceptionDistance

    fake, real = (0.8 * normal(300, 8) + 0.5).float(), normal(300, 8, seed=1).float()
    theirs = FrechetInceptionDistance(Identity(), input_img_size=(8,))
    theirs.set_dtype(torch.float64)
    with pytest.warns(UserWarning, match="buffer"):
        kernel = KernelInceptionDistance(Identity(), subsets=1, subset_size=300)
    for metric in (theirs, kernel):
        metric.update(real, real=True)
        metric.update(fake, real=False)
    a, b = moments(fake.double()), moments(real.double())
    assert frechet_distance(a, b, square_root(b.covariance)) == pytest.approx(float(theirs.compute()), rel=1e-3)
    ours = compared(KernelDistance, fake.double(), real.double())
    assert ours == pytest.approx(float(kernel.compute()[0]), rel=1e-3)


def test_the_kernel_distance_of_equal_distributions_is_zero_on_average() -> None:
    pairs = [(normal(20, 4, seed=2 * i), normal(30, 4, seed=2 * i + 1)) for i in range(400)]
    draws = torch.tensor([compared(KernelDistance, x, y) for x, y in pairs])
    assert abs(float(draws.mean())) < 4 * float(draws.std()) / math.sqrt(len(draws))
    assert (draws < 0).any()


def brute_force(fake: list[list[float]], real: list[list[float]], k: int) -> dict[type, float]:
    def kth(points: list[list[float]], i: int) -> float:
        return sorted(math.dist(points[i], other) for j, other in enumerate(points) if j != i)[k - 1]

    around_real = [kth(real, i) for i in range(len(real))]
    around_fake = [kth(fake, i) for i in range(len(fake))]
    holds = [[math.dist(x, s) <= r for s in fake] for x, r in zip(real, around_real, strict=True)]
    within = [[math.dist(x, s) <= r for s, r in zip(fake, around_fake, strict=True)] for x in real]
    return {
        Precision: sum(map(any, zip(*holds, strict=True))) / len(fake),
        Recall: sum(map(any, within)) / len(real),
        Density: sum(map(sum, holds)) / (k * len(fake)),
        Coverage: sum(map(any, holds)) / len(real),
    }


# Small whole numbers give many duplicates and equal distances, and exact sums of squares.
clouds = st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=4, max_size=9)


@settings(deadline=None, max_examples=40)
@given(fake=clouds, real=clouds, k=st.integers(1, 3))
def test_neighbour_metrics_equal_a_double_loop_even_with_ties(fake: list, real: list, k: int) -> None:
    exact = brute_force(fake, real, k)
    a, b = (torch.tensor(each, dtype=torch.float64) for each in (fake, real))
    for metric, value in exact.items():
        assert compared(metric, a, b, k=k) == pytest.approx(value, abs=1e-12)


def test_the_number_of_rows_at_a_time_does_not_matter() -> None:
    fake, real = normal(50, 7), normal(50, 7, seed=1) * 1.2
    found = []
    for chunk in (7, 1, 50, 1000):
        sums = [sums_over_others(fake, of, chunk) for of in (cubic_kernel, distances)]
        found.append(torch.cat([*sums, nearest(fake, real, chunk), radii(fake, 3, chunk)]))
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-13, atol=0)


def test_precision_recall_and_coverage_of_equal_sets_are_one() -> None:
    x = torch.cat([normal(40, 3), normal(40, 3)[:10], torch.zeros(8, 3, dtype=torch.float64)])
    for metric in (Precision, Recall, Coverage):
        assert compared(metric, x, x, k=2) == 1


@pytest.mark.usefixtures("quick")
def test_real_images_score_well_and_the_mean_image_badly(mnist: Data, tmp_path: Path) -> None:
    found = {
        metric: measured(metric, CyclesThrough(mnist.validation.all(Noise(0))), mnist, tmp_path, samples=500)
        for metric in everything
    }
    real = {metric: each.parts["real images"] for metric, each in found.items()}
    mean = {metric: each.parts["mean image"] for metric, each in found.items()}
    for metric in everything:  # the validation split, too, is of real images
        error = found[metric].stderr or 0
        assert found[metric].value == pytest.approx(real[metric], rel=0.25, abs=5 * error), metric
    assert real[FrechetDistance] < 0.05 * mean[FrechetDistance]
    assert real[KernelDistance] < 0.02 * mean[KernelDistance]
    assert real[Coverage] > 0.9
    assert all(real[metric] > 0.8 for metric in (Precision, Recall, Density))
    assert all(mean[metric] < 0.1 for metric in (Recall, Coverage, Diversity))
    assert (real[ModeCoverage], mean[ModeCoverage]) == (10, 1)
    assert 0.8 < real[Memorisation] < 1.25
    assert 0.9 < real[Diversity] < 1.1
    name = str(classifier_of(mnist, tmp_path))
    assert all(name in str(each.measure) and "500 samples" in str(each.measure) for each in found.values())
    assert "k = 3" in str(found[Recall].measure)
    assert found[Recall].diagnostics["classifier_accuracy"] > 0.85


@pytest.mark.parametrize(
    ("metric", "values", "needed"),
    [(FrechetDistance, {}, 35), (Precision, {"k": 28}, 60), (Coverage, {"k": 70}, 150), (KernelDistance, {}, 4)],
)
def test_too_few_samples_are_refused_with_the_number_needed(small_data: Data, metric, values, needed: int) -> None:
    model = CyclesThrough(small_data.train.all(Noise(0)))
    few = 3 if metric is KernelDistance else needed - 1
    with pytest.raises(NotApplicable, match=f"needs {needed} samples"):
        measured(metric, model, small_data, features="pixels", samples=few, **values)
    if needed <= len(small_data.test):
        assert measured(metric, model, small_data, features="pixels", samples=needed, **values).n == needed


@pytest.mark.usefixtures("quick")
def test_the_classifier_is_deterministic_and_trained_once(small_data: Data, tmp_path: Path) -> None:
    def trained(cache: Path | None):
        classifier_of.cache_clear()
        torch.rand(3)
        return classifier_of(small_data, cache)

    first = trained(tmp_path)
    (file,) = tmp_path.rglob("*.safetensors")
    written = file.stat().st_mtime_ns
    again, alone = trained(tmp_path), trained(None)
    assert first.digest == again.digest == alone.digest
    assert len(first.digest) == 12
    assert file.stat().st_mtime_ns == written
    assert [file] == list(tmp_path.rglob("*.safetensors"))


@pytest.mark.full_mnist
def test_the_classifier_has_an_accuracy_of_99_percent_on_mnist(data_dir: Path, tmp_path: Path) -> None:
    data = MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path, print))
    assert classifier_of(data, None).accuracy >= 0.99


@pytest.mark.usefixtures("quick")
def test_each_variant_of_the_data_has_its_own_classifier(small_data: Data) -> None:
    binary = Binarize(Binarize.Config()).apply(small_data)
    assert classifier_of(binary, None).digest != classifier_of(small_data, None).digest


@pytest.mark.parametrize("features", ["pixels", "classifier"])
@pytest.mark.usefixtures("quick")
def test_copies_of_training_images_are_detected(small_data: Data, features: str) -> None:
    train, test = small_data.train.all(Noise(0)), small_data.test.all(Noise(0))
    copies = measured(Memorisation, CyclesThrough(train), small_data, features=features)
    assert copies.value == pytest.approx(0, abs=1e-6)
    assert measured(Memorisation, CyclesThrough(test), small_data, features=features).value == pytest.approx(1)
    assert copies.parts["mean image"] > 0.7 or features == "classifier"


@pytest.mark.usefixtures("quick")
def test_samples_of_one_class_cover_one_mode(small_data: Data) -> None:
    train, labels = small_data.train.all(Noise(0)), small_data.train.labels
    found = classifier_of(small_data, None).network(train).argmax(1)
    one = measured(ModeCoverage, CyclesThrough(train[(labels == 1) & (found == 1)]), small_data)
    assert (one.value, one.parts["entropy (nats)"]) == (1, 0)
    both = measured(ModeCoverage, CyclesThrough(train), small_data)
    assert both.value == 2
    assert both.parts["entropy (nats)"] <= math.log(2) + 1e-12


def test_samples_are_rounded_to_the_scale_of_the_data(small_data: Data) -> None:
    test = small_data.test.all(Noise(0))
    values = {"features": "pixels", "samples": 60}
    exact = measured(KernelDistance, CyclesThrough(test), small_data, **values)
    off = measured(
        KernelDistance, CyclesThrough(test + 0.001 * normal(*test.shape).clamp(-1, 1).float()), small_data, **values
    )
    assert off.value == exact.value  # less than half a step of 8 bits away


def test_samples_that_are_not_finite_are_a_divergence(small_data: Data) -> None:
    with pytest.raises(Diverged):
        measured(Diversity, CyclesThrough(torch.full((1, 1, 6, 5), math.nan)), small_data, features="pixels")


def test_data_without_the_features_is_not_applicable(
    small_points: Data, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = vectors(normal(50, 4))
    assert measured(Diversity, CyclesThrough(x.test.all(Noise(0))), x, features="pixels").value == pytest.approx(1)
    with pytest.raises(NotApplicable, match=r"takes images, but the examples have shape \(4,\); features=pixels"):
        measured(Diversity, CyclesThrough(x.test.all(Noise(0))), x)
    unlabelled = Data.from_tensors(*(Examples(each.stored) for each in small_data.splits.values()))
    with pytest.raises(
        NotApplicable, match="no labels to train its classifier on; features=pixels needs no classifier"
    ):
        measured(Diversity, CyclesThrough(small_data.test.all(Noise(0))), unlabelled)
    with pytest.raises(NotApplicable, match=r"no labels to train its classifier on$"):
        measured(ModeCoverage, CyclesThrough(small_data.test.all(Noise(0))), unlabelled)
    for features in ("pixels", "classifier"):
        with pytest.raises(NotApplicable, match="sets of points"):
            measured(Diversity, CyclesThrough(small_points.test.all(Noise(0))), small_points, features=features)


def test_inception_without_its_weights_is_not_applicable(
    small_data: Data, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*args: object, **more: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", unreachable)
    with pytest.raises(NotApplicable, match="weights of Inception cannot be loaded"):
        measured(Diversity, CyclesThrough(small_data.test.all(Noise(0))), small_data, features="inception")


def test_inception_gets_images_from_minus_one_to_one(small_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torchvision.models.inception_v3(weights=None, init_weights=False)
    weights, learnt = torchvision.models.Inception_V3_Weights, plain.state_dict()
    monkeypatch.setattr(weights, "get_state_dict", lambda *given, **more: learnt)
    white = torch.ones(1, *small_data.info.shape)
    plain.fc = torch.nn.Identity()
    with torch.no_grad():
        expected = plain.eval()(torch.ones(1, 3, 299, 299))
        found = feature_space(small_data, "inception", None)(white)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)


def test_the_values_of_the_trivial_samplers_are_computed_once(small_data: Data) -> None:
    scored = []

    class Counting(Diversity):
        def compare(self, samples: Tensor, test: Tensor, train: Tensor) -> float:
            scored.append(len(samples))
            return super().compare(samples, test, train)

    model = CyclesThrough(small_data.test.all(Noise(0)))
    first, second = (measured(Counting, model, small_data, features="pixels") for _ in range(2))
    assert first.parts == second.parts
    assert scored.count(60) == 4  # the model twice, and two trivial samplers; all others are halves


@pytest.mark.parametrize(("metric", "freedom"), [(FrechetDistance, 9), (KernelDistance, 15), (Recall, 15)])
def test_the_error_is_that_of_the_pseudo_values_and_of_the_rest(small_data: Data, metric, freedom: int) -> None:
    found = measured(metric, CyclesThrough(small_data.train.all(Noise(0))), small_data, features="pixels")
    assert found.degrees_of_freedom == freedom
    pseudo_values = torch.tensor(found.group_values).double()
    assert float(pseudo_values.mean()) == pytest.approx(found.value)
    of_groups = float(pseudo_values.std()) / len(pseudo_values) ** 0.5
    assert found.stderr == pytest.approx(math.hypot(found.estimator_stderr or 0, of_groups))
    assert found.stderr > 0


@settings(deadline=None, max_examples=20)
@given(n=st.integers(30, 90), m=st.integers(30, 90))
def test_half_samples_and_the_jackknife_give_the_error_of_a_difference_of_means(n: int, m: int) -> None:
    """Of means of groups of equal sizes, both errors are exact up to the grouping: compare their expectations."""
    x, y = normal(30 * (n // 30), 1, seed=n), normal(30 * (m // 30), 1, seed=m + 100)

    def difference(a: Tensor, b: Tensor) -> float:
        return float(a.mean() - b.mean())

    halves = by_half_samples(x, y, difference)
    groups = [each.view(-1, 30).mean(0) for each in (x, y)]  # group i and i + 15 are a pair
    gaps = (groups[0][:15] - groups[0][15:]) - (groups[1][:15] - groups[1][15:])
    assert halves.stderr == pytest.approx(float(gaps.square().sum().sqrt()) / 30)
    assert halves.value == difference(x, y)
    without = [each_left_out(x, lambda kept: difference(kept, y)), each_left_out(y, lambda kept: difference(x, kept))]
    jackknife = by_jackknife(difference(x, y), *without, correct=True)
    assert jackknife.value == pytest.approx(difference(x, y))
    of_ten = [each.view(-1, 10).mean(0).var() / 10 for each in (x, y)]
    assert jackknife.stderr == pytest.approx(float(sum(of_ten)) ** 0.5)
    assert jackknife.rest == pytest.approx(float(of_ten[0]) ** 0.5)


def test_two_models_are_compared_on_the_same_test_images() -> None:
    """A shift of all test images changes both distances alike, so that their difference is known better."""
    test = normal(600, 2)
    one, other = (
        by_half_samples(normal(600, 2, seed=seed), test, lambda a, b: float((a.mean() - b.mean()).square()))
        for seed in (1, 2)
    )
    gaps = torch.tensor(one.pseudo_values) - torch.tensor(other.pseudo_values)
    assert float(gaps.std()) / len(gaps) ** 0.5 < math.hypot(one.stderr, other.stderr)


@pytest.mark.usefixtures("quick")
def test_a_model_that_was_trained_further_is_sampled_again(small_data: Data) -> None:
    class Grows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.level = nn.Parameter(torch.tensor(0.1))

        def sample(self, n: int, noise: Noise) -> Tensor:
            return (self.level.detach() * noise.uniform(n, 1, 6, 5)).clamp(max=1)

    model = Grows()
    first = measured(Diversity, model, small_data, features="pixels").value
    assert measured(Diversity, model, small_data, features="pixels").value == first
    with torch.no_grad():
        model.level.mul_(5)
    assert measured(Diversity, model, small_data, features="pixels").value > 4 * first


@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (7, 1, 6, 6)])
def test_samples_of_a_wrong_number_or_shape_are_an_error(shape: tuple[int, ...], small_data: Data) -> None:
    class FixedShape:
        def sample(self, n: int, noise: Noise) -> Tensor:
            return torch.zeros(shape)

    with pytest.raises(ValueError, match="have the shape"):
        measured(Diversity, FixedShape(), small_data, features="pixels", samples=7)


class NoisyConstant(nn.Module):
    """Has p(x | z) = N(μ, σ² I) for every z; its own samples are the means."""

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    def prior(self) -> Independent:
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def observation(self, z: Tensor) -> Independent:
        mean = torch.full((len(z), 4), 0.5)
        return Independent(Normal(mean, torch.full_like(mean, self.deviation)), 1)

    def sample(self, n: int, noise: Noise) -> Tensor:
        return torch.full((n, 4), 0.5)


def test_samples_are_drawn_from_the_observation_model_and_its_means_are_another_measure() -> None:
    """The distance to N(0.5, σ² I) in d dimensions is 0 for draws, and d σ² for means."""
    data = vectors(0.5 + 0.3 * normal(2000, 4))
    drawn, means = (
        measured(FrechetDistance, NoisyConstant(0.3), data, features="pixels", samples=2000, draws=draws)
        for draws in ("observations", "means")
    )
    assert abs(drawn.value) < 4 * drawn.stderr < 0.02
    assert means.value == pytest.approx(4 * 0.3**2, abs=4 * means.stderr)
    assert drawn.measure != means.measure
    assert str(means.measure).endswith("means of p(x∣z)")


def test_samples_of_a_linear_gaussian_model_are_the_same_in_distribution_whichever_way_they_are_drawn() -> None:
    data = vectors(normal(3000, 6) @ normal(6, 6, seed=1))
    model = PPCA(data.info, PPCA.Config(latent_dim=2))
    model.fit(data.train, Noise(0))
    found = measured(FrechetDistance, model, data, features="pixels", samples=3000)
    own = measured(FrechetDistance, CyclesThrough(model.sample(3000, Noise(1))), data, features="pixels", samples=3000)
    assert found.value == pytest.approx(own.value, abs=4 * math.hypot(found.estimator_stderr, own.estimator_stderr))


def test_the_frechet_distance_is_unbiased_and_the_uncorrected_one_is_not() -> None:
    """In 16 dimensions, 200 samples of equal distributions have a distance of about 0.85 without the correction."""
    metric = FrechetDistance(FrechetDistance.Config())
    pairs = [(normal(200, 16, seed=2 * i), normal(200, 16, seed=2 * i + 1)) for i in range(60)]
    corrected = torch.tensor([metric.compare(x, y, y[:0]) for x, y in pairs])
    uncorrected = torch.tensor([metric.parts(x, y)["uncorrected"] for x, y in pairs])
    assert abs(float(corrected.mean())) < 4 * float(corrected.std()) / len(pairs) ** 0.5 + 0.02
    assert float(uncorrected.mean()) > 0.8


@pytest.mark.parametrize("metric", [FrechetDistance, KernelDistance, Precision, Recall, Density, Coverage])
def test_the_error_is_the_scatter_over_fresh_samples_and_test_images(metric) -> None:
    chosen = metric(metric.Config())
    sets = [(0.9 * normal(250, 8, seed=2 * i) + 0.2, normal(250, 8, seed=2 * i + 1)) for i in range(80)]
    found = [chosen.resample(x, y, y[:0]) for x, y in sets]
    told = math.sqrt(sum(each.stderr**2 for each in found) / len(found))
    true = float(torch.tensor([each.value for each in found]).std())
    assert 0.75 < told / true < 1.4


@pytest.mark.parametrize("metric", [FrechetDistance, Recall])
@pytest.mark.parametrize("scales", [(0.9, 0.9), (0.6, 1.1)])
def test_two_samplers_are_told_apart_as_often_as_their_error_says(metric, scales: tuple[float, float]) -> None:
    """Both are compared with the same test images. Draws of one sampler should differ in 5% of cases, not in half."""
    chosen, gaps, variances, apart = metric(metric.Config()), [], [], 0
    for i in range(60):
        test = normal(180, 4, seed=3 * i)
        rows = []
        for place, scale in enumerate(scales, 1):
            found = chosen.resample(scale * normal(180, 4, seed=3 * i + place), test, test[:0])
            groups = np.array(found.pseudo_values)
            degrees = float(found.degrees_of_freedom)
            rest = found.rest or 0.0
            rows.append(
                Measured({0: found.value}, (found.stderr,), degrees, group_values=groups, measurement_stderr=rest)
            )
        comparison = compare(rows)
        gaps.append(float(comparison.difference[0, 1]))
        variances.append(float((comparison.over_examples + comparison.of_measurement)[0, 1]))
        apart += abs(gaps[-1]) > float(comparison.margin()[0, 1])
    true = float(torch.tensor(gaps).std())
    assert 0.75 < math.sqrt(sum(variances) / len(variances)) / true < 1.5
    if scales[0] == scales[1]:
        assert apart <= 7  # of 60; more than that has a probability of 1% for a rate of 5%
    else:
        assert apart > 54


@pytest.mark.parametrize("metric", [Precision, Recall, Coverage])
def test_a_share_of_zero_or_one_is_not_exact(metric) -> None:
    """Wilson's 95% interval of 0 of 400 ends at 1.96² / (400 + 1.96²) = 0.0095."""
    real = normal(400, 3)
    data = vectors(real)
    far = measured(metric, CyclesThrough(real.float() + 100), data, features="pixels", samples=400)
    assert far.value == 0
    assert 2 * 1.959964 * far.stderr == pytest.approx(0.0095123, rel=1e-4)
    same = measured(metric, CyclesThrough(real.float()), data, features="pixels", samples=400)
    assert same.value == 1
    assert same.stderr >= 0.0095123 / 4
