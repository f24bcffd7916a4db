"""Authenticity, Vendi score, sliced Wasserstein distance, feature likelihood divergence, and metrics of point sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from harness import Context, Data, Noise, NotApplicable, derive_seed
from harness.toolkit import chamfer
from harness_metrics.quality.likelihood import FeatureLikelihoodDivergence, fit_log_variances, log_normal
from harness_metrics.quality.point_sets import (
    IntensityDistance,
    MinimumMatchingDistance,
    OneNearestNeighbourAccuracy,
    PositionDistance,
    SetCoverage,
    chamfer_distances,
)
from harness_metrics.quality.spread import Authenticity, VendiScore
from harness_metrics.quality.transport import SlicedWasserstein, quantile_gaps


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def compared(metric, samples: Tensor, test: Tensor, train: Tensor | None = None, **values) -> float:
    return metric(metric.Config(**values)).compare(samples, test, test[:0] if train is None else train)


# Vendi score


@pytest.mark.parametrize("n", [1, 4, 8])
def test_the_vendi_score_of_n_orthogonal_groups_of_equal_samples_is_n(n: int) -> None:
    samples = torch.eye(8, dtype=torch.float64)[:n].repeat(3, 1) * 5
    assert compared(VendiScore, samples, samples) == pytest.approx(n)


def test_the_vendi_score_equals_the_formula_of_the_kernel_matrix() -> None:
    """exp(−Σ λ log λ) of the eigenvalues of K / n, whether there are more samples or more dimensions."""
    for shape in ((30, 7), (7, 30)):
        x = normal(*shape)
        unit = x / x.norm(dim=1, keepdim=True)
        eigenvalues = torch.linalg.eigvalsh(unit @ unit.T / len(x))
        positive = eigenvalues[eigenvalues > 1e-12]
        assert compared(VendiScore, x, x) == pytest.approx(math.exp(-float((positive * positive.log()).sum())))


# Authenticity


def test_authenticity_equals_a_double_loop() -> None:
    samples, train = normal(20, 3), normal(15, 3, seed=1)
    authentic = 0
    for sample in samples:
        gaps = [float((sample - each).norm()) for each in train]
        nearest = gaps.index(min(gaps))
        own = min(float((train[nearest] - other).norm()) for i, other in enumerate(train) if i != nearest)
        authentic += own < min(gaps)
    assert compared(Authenticity, samples, train, train) == pytest.approx(authentic / 20)


def test_copies_of_training_images_are_not_authentic_and_about_half_of_new_ones_are() -> None:
    train = normal(1500, 8)
    assert compared(Authenticity, train[:300], train, train) == 0
    assert compared(Authenticity, normal(1500, 8, seed=1), train, train) == pytest.approx(0.5, abs=0.1)


# Sliced Wasserstein distance


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=20), st.integers(0, 100))
def test_in_one_dimension_gaps_of_quantiles_are_scipys_distance(values: list[float], seed: int) -> None:
    a = torch.tensor(values, dtype=torch.float64).unsqueeze(1)
    b = normal(len(values), 1, seed=seed)
    exact = wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy())
    assert float(quantile_gaps(a, b).abs().mean()) == pytest.approx(exact, abs=1e-9)


def test_the_sliced_distance_of_a_translation_is_its_squared_length_over_the_dimension() -> None:
    x, shift = normal(200, 5), torch.tensor([3.0, 0, 0, 4, 0], dtype=torch.float64)
    assert compared(SlicedWasserstein, x + shift, x, directions=20_000) == pytest.approx(25 / 5, rel=0.02)
    assert compared(SlicedWasserstein, x.flip(0), x) == 0


def test_sets_of_unequal_size_are_compared_by_their_nearest_quantiles() -> None:
    x = normal(60, 2)
    assert compared(SlicedWasserstein, x.repeat_interleave(3, 0), x) == pytest.approx(0)


# Feature likelihood divergence


def test_a_term_of_the_mixture_is_a_normal_density_and_copies_get_a_variance_near_zero() -> None:
    x = normal(40, 3)
    log_variances = torch.tensor([0.3, -1.0], dtype=torch.float64)
    centres = normal(2, 3, seed=1)
    found = log_normal(torch.cdist(x, centres).square(), log_variances, 3)
    exact = (
        torch.distributions.Normal(centres, (0.5 * log_variances).exp().unsqueeze(1)).log_prob(x.unsqueeze(1)).sum(2)
    )
    torch.testing.assert_close(found, exact)
    fitted = fit_log_variances(torch.cat([x[:5], x[:5] + 0.5]), x)
    assert fitted[:5].max() < fitted[5:].min() - 5


def test_the_divergence_is_zero_for_new_data_and_rises_with_copies_bad_samples_and_dropped_modes() -> None:
    train, test, new = (normal(800, 4, seed=seed) for seed in range(3))
    real = compared(FeatureLikelihoodDivergence, new, test, train)
    assert abs(real) < 4
    copies = compared(FeatureLikelihoodDivergence, train.clone(), test, train)
    shifted = compared(FeatureLikelihoodDivergence, new + 1.5, test, train)
    one_sided = compared(FeatureLikelihoodDivergence, new[new[:, 0] > 0.5], test, train)
    assert min(copies, shifted, one_sided) > real + 5


def plain_divergence(samples: np.ndarray, test: np.ndarray, train: np.ndarray) -> float:
    """Return the divergence by the formulas of Jiralerspong et al. (2023), with gradients and Adam written out."""
    mean, deviation = test.mean(0), test.std(0, ddof=1)
    samples, test, train = ((each - mean) / deviation for each in (samples, test, train))
    d = test.shape[1]

    def squares(x: np.ndarray, centres: np.ndarray) -> np.ndarray:
        return np.array([[((a - b) ** 2).sum() for b in centres] for a in x])

    def densities(squared: np.ndarray, variances: np.ndarray) -> np.ndarray:
        return np.exp(-squared / (2 * variances)) * (2 * np.pi * variances) ** (-d / 2)

    def negative_log_likelihood(centres: np.ndarray, x: np.ndarray, fitted_to: np.ndarray) -> float:
        m, n = len(centres), len(fitted_to)
        near = squares(fitted_to, centres)
        far = 0.9**2 * squares(fitted_to, fitted_to.mean(0)[None])
        squared = np.concatenate([near, far], 1)
        parameters = np.append(np.log((near.min(0) + 1e-3) / d), 0.0)
        first, second = np.zeros(m + 1), np.zeros(m + 1)
        for step in range(1, 51):
            variances = np.exp(parameters)
            terms = densities(squared, variances) * np.append(np.full(m, 1 / m), 1.0)
            share = terms / terms.sum(1, keepdims=True)
            gradient = -(share * (squared / variances - d) / 2).sum(0) / (n * d)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            change = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            parameters = parameters - 0.5 * change
            parameters[:m] = parameters[:m].clip(-40, 20)
        likelihoods = densities(squares(x, centres), np.exp(parameters[:m])).mean(1)
        return float(-np.log(likelihoods).mean() / d)

    half = min(len(samples), len(train) // 2)
    baseline = negative_log_likelihood(train[:half], test, train[half:])
    return 100 * (negative_log_likelihood(samples, test, train) - baseline)


@pytest.mark.parametrize("change", ["none", "shifted", "narrow", "copies"])
def test_the_divergence_equals_a_plain_implementation(change: str) -> None:
    samples, test, train = (normal(n, 3, seed=seed) for seed, n in enumerate((30, 40, 60)))
    order = Noise(derive_seed("quality", "mixture")).permutation(
        60
    )  # which half the mixture compared with is fitted to
    if change == "copies":
        samples[:10] = train[order[:10]] + 0.01 * samples[:10]
    else:
        samples = {"none": samples, "shifted": samples + 1.5, "narrow": 0.4 * samples}[change]
    theirs = plain_divergence(samples.numpy(), test.numpy(), train[order].numpy())
    assert compared(FeatureLikelihoodDivergence, samples, test, train) == pytest.approx(theirs, rel=1e-6)


def test_features_that_are_constant_on_test_images_are_left_out() -> None:
    train, test, new = (torch.cat([normal(200, 3, seed=seed), torch.ones(200, 1).double()], 1) for seed in range(3))
    found = compared(FeatureLikelihoodDivergence, new, test, train)
    assert found == pytest.approx(compared(FeatureLikelihoodDivergence, *(x[:, :3] for x in (new, test, train))))


def test_equal_test_images_have_no_units_for_the_divergence() -> None:
    with pytest.raises(NotApplicable, match="all test images are equal"):
        compared(FeatureLikelihoodDivergence, normal(200, 3), torch.ones(200, 3).double(), normal(200, 3, seed=1))


# Point sets


def sets(n: int, seed: int = 0) -> Tensor:
    """Return sets of six points (x, y, intensity), flattened: ``(n, 18)``."""
    return torch.rand(n, 18, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_chamfer_distances_equal_those_of_the_toolkit_divided_by_the_points() -> None:
    a, b = sets(5), sets(7, seed=1)
    found = chamfer_distances(a, b)
    for i, first in enumerate(a):
        pairs = first.view(1, 3, 6).expand(7, -1, -1), b.view(7, 3, 6)
        torch.testing.assert_close(found[i], chamfer(*pairs, "third-axis") / 6)
    shuffled = a.view(5, 3, 6)[:, :, torch.randperm(6)].reshape(5, 18)
    torch.testing.assert_close(chamfer_distances(shuffled, b), found)


def test_set_metrics_equal_plain_loops() -> None:
    """The formulas of Yang et al. (2019): minimum matching distance, coverage, and 1-nearest-neighbour accuracy."""
    samples, test = sets(9), sets(8, seed=1)
    across = chamfer_distances(samples, test).tolist()
    matching = [min(across[i][j] for i in range(9)) for j in range(8)]
    assert compared(MinimumMatchingDistance, samples, test) == pytest.approx(sum(matching) / 8)
    covered = {min(range(8), key=lambda j, i=i: across[i][j]) for i in range(9)}  # type: ignore[misc]
    assert compared(SetCoverage, samples, test) == pytest.approx(len(covered) / 8)
    every = torch.cat([samples, test])
    distances = chamfer_distances(every, every).tolist()
    nearest = [min((j for j in range(17) if j != i), key=lambda j, i=i: distances[i][j]) for i in range(17)]  # type: ignore[misc]
    right = sum((i < 9) == (j < 9) for i, j in enumerate(nearest))
    assert compared(OneNearestNeighbourAccuracy, samples, test) == pytest.approx(right / 17)


@pytest.mark.parametrize(("dimensions", "known"), [(2, 0.59), (5, 0.6), (75, 0.38)])
def test_samples_from_the_distribution_of_the_test_sets_cover_fewer_in_many_dimensions(
    dimensions: int, known: float
) -> None:
    samples, test = Noise(dimensions).normal(2, 1000, dimensions)
    metric = SetCoverage(SetCoverage.Config())
    assert metric.of_distances(torch.cdist(samples, test), samples, test) == pytest.approx(known, abs=0.04)


def test_samples_from_the_distribution_of_the_test_sets_cannot_be_told_apart_and_others_can() -> None:
    test = sets(120)
    assert compared(OneNearestNeighbourAccuracy, sets(120, seed=1), test) == pytest.approx(0.5, abs=0.13)
    assert compared(OneNearestNeighbourAccuracy, 0.5 * sets(120, seed=1), test) > 0.95


def test_distances_of_distributions_see_what_they_are_named_after_and_nothing_else() -> None:
    test = sets(200)
    brighter, moved = (test.view(-1, 3, 6).clone() for _ in range(2))
    brighter[:, 2] += 0.25
    moved[:, 0] += 0.25
    flat = [each.reshape(-1, 18) for each in (brighter, moved)]
    assert [compared(IntensityDistance, each, test) for each in flat] == pytest.approx([0.25, 0])
    positions = [compared(PositionDistance, each, test) for each in flat]
    assert positions[0] == 0
    assert positions[1] == pytest.approx(0.25 * 2 / math.pi, rel=0.01)  # the mean of |cos| over directions is 2 / π


class Shrinks(nn.Module):
    """Reconstructs sets with half the intensity; its samples are black."""

    def reconstruct(self, x: Tensor) -> Tensor:
        halved = x.clone()
        halved[:, :, 2] /= 2
        return halved

    def sample(self, n: int, noise: Noise) -> Tensor:
        return torch.zeros(n, 1, 3, 25)


def test_intensities_of_reconstructions_are_compared_with_those_of_their_input(small_points: Data) -> None:
    context = Context(Noise(0), None, None, 0)
    found = {
        compared: IntensityDistance(IntensityDistance.Config(compared=compared)).measure(
            Shrinks(), small_points, context
        )
        for compared in ("samples", "reconstructions")
    }
    mean = float(small_points.test.all(Noise(0))[:, 0, 2].mean())
    assert found["reconstructions"].value == pytest.approx(mean / 2, rel=1e-5)
    assert found["samples"].value == pytest.approx(mean, rel=1e-5)
    assert found["reconstructions"].stderr > 0


def test_metrics_of_point_sets_do_not_apply_to_images(small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="it compares sets of points, and the data is unit"):
        SetCoverage(SetCoverage.Config()).measure(Shrinks(), small_data, Context(Noise(0), None, None, 0))
