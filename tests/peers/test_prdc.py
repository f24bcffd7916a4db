"""Precision, recall, density and coverage, compared with prdc."""

from __future__ import annotations

import pytest
import torch
from given_features import clouds, score
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness_metrics.quality.neighbours import Coverage, Density, Precision, Recall

prdc = pytest.importorskip("prdc")
neighbours = {"precision": Precision, "recall": Recall, "density": Density, "coverage": Coverage}


def ours(samples: Tensor, test: Tensor, k: int) -> dict[str, float]:
    return {name: score(metric, samples, test, k=k) for name, metric in neighbours.items()}


def theirs(samples: Tensor, test: Tensor, k: int) -> dict[str, float]:
    found = prdc.compute_prdc(test.numpy(), samples.numpy(), nearest_k=k)
    return {name: pytest.approx(float(found[name]), rel=1e-12) for name in neighbours}


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_and_coverage_agree_with_prdc(features: tuple[Tensor, Tensor], k: int) -> None:
    assert ours(*features, k) == theirs(*features, k)


# Squared distances are integers within a set but, because of the shift, not between the sets.
@settings(deadline=None, max_examples=40)
@given(samples=clouds(shift=(0.25, 0.125)), test=clouds(), k=st.integers(1, 3))
def test_ties_within_a_set_are_handled_as_in_prdc(samples: Tensor, test: Tensor, k: int) -> None:
    assert ours(samples, test, k) == theirs(samples, test, k)


def test_prdc_excludes_points_at_exactly_the_radius() -> None:
    """Kynkäänniemi et al. (2019) define precision and recall with ≤, as we do; prdc uses <."""
    samples, test = (torch.tensor(each).double().unsqueeze(1) for each in ([-1, -2, 20, 21], [0, 1, 3, 7]))
    assert ours(samples, test, k=1) == dict.fromkeys(neighbours, 0.25)
    assert theirs(samples, test, k=1) == dict.fromkeys(neighbours, 0)
