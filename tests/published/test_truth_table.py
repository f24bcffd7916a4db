"""The truth table of metrics of samples: stored results, the published table, and truths from other papers."""

from __future__ import annotations

import pytest
import torch
from truth_table import begin, cells, columns, component_of, end, page, replications, stored, text

from harness import Noise
from harness.calibration.sample_checks import checks
from harness.calibration.truth_table import truth_rows


def value(metric: str, samples: torch.Tensor, test: torch.Tensor, **settings: int) -> float:
    component = component_of(columns()[metric])
    config = type(component.config)(**settings)
    return float(component.factory(config).compare(samples, test, test))


def normal(points: int, dimensions: int, seed: int) -> torch.Tensor:
    return Noise(seed).normal(points, dimensions).double()


def test_at_least_95_percent_of_the_published_cells_are_reproduced() -> None:
    found = list(cells())
    assert len(found) == 30 * 12
    assert sum(theirs == ours for _, _, theirs, ours, _ in found) >= 0.95 * len(found)


def test_every_metric_of_samples_is_in_the_table() -> None:
    assert set(stored()) == set(columns())
    assert len(columns()) > 12


def test_the_page_has_the_stored_results() -> None:
    assert f"{begin}\n\n{text()}\n\n{end}" in page.read_text(encoding="utf-8"), "run tests/published/truth_table.py"


@pytest.mark.parametrize("metric", ["precision", "recall", "C-Prec", "memorisation"])
def test_a_repetition_gives_the_stored_result(metric: str) -> None:
    (check,) = (each for each in checks if each.name == "invented-modes")
    for row in truth_rows(component_of(columns()[metric]), check, replications):
        outcome, convention, reasons = stored()[metric][f"{row.check}: {row.topic}"]
        assert (row.outcome, row.convention, list(row.reasons)) == (outcome, convention, reasons)


@pytest.mark.parametrize("dimensions", [2, 32])
def test_density_and_coverage_of_equal_distributions_have_their_expectations(dimensions: int) -> None:
    """Naeem et al. (2020): density 1, and coverage 1 − Π (n − i) / (2n − i) ≈ 1 − 2⁻ᵏ, which is 0.969 at k = 5."""
    draws = [(normal(1000, dimensions, 2 * seed), normal(1000, dimensions, 2 * seed + 1)) for seed in range(5)]
    coverage = [value("coverage", *each, k=5) for each in draws]
    density = [value("density", *each, k=5) for each in draws]
    assert sum(coverage) / 5 == pytest.approx(1 - 2**-5, abs=0.006)
    assert sum(density) / 5 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("metric", ["clipped-density", "clipped-coverage"])
def test_clipped_metrics_fall_in_proportion_to_bad_samples(metric: str) -> None:
    """Salvy et al. (2025): the value is the share of good samples."""
    for share in (0.0, 0.25, 0.5, 0.75):
        samples, test = normal(1000, 16, 1), normal(1000, 16, 2)
        samples[: round(share * 1000)] += 100
        assert value(metric, samples, test) == pytest.approx(1 - share, abs=0.05)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_frechet_distance_of_gaussians_has_its_closed_form(scale: float) -> None:
    """‖μ‖² + d (σ − 1)² for N(μ, σ² I) and N(0, I); Dowson and Landau (1982)."""
    samples = scale * normal(20000, 4, 1) + torch.tensor([2.0, 0, 0, 0])
    assert value("frechet-distance", samples, normal(20000, 4, 2)) == pytest.approx(4 + 4 * (scale - 1) ** 2, rel=0.03)
