"""Fréchet and kernel distances, precision and recall, compared with torch-fidelity. ``-s`` shows the distances."""

from __future__ import annotations

import pytest
from given_features import clouds, score
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness_metrics.quality.frechet import FrechetDistance
from harness_metrics.quality.kernel import KernelDistance
from harness_metrics.quality.neighbours import Precision, Recall

fid, kid, prc = (pytest.importorskip(f"torch_fidelity.metric_{name}") for name in ("fid", "kid", "prc"))
neighbours = {"precision": Precision, "recall": Recall}
Features = tuple[Tensor, Tensor]


def precision_and_recall(samples: Tensor, test: Tensor, k: int) -> dict[str, float]:
    found = prc.prc_features_to_metric(samples, test, prc_neighborhood=k, verbose=False)
    return {name: pytest.approx(found[name], abs=1e-6) for name in neighbours}  # means in float32


def test_the_frechet_distance_agrees_with_torch_fidelity(features: Features) -> None:
    moments = map(fid.fid_features_to_statistics, features)
    theirs = fid.fid_statistics_to_metric(*moments, verbose=False)[fid.KEY_METRIC_FID]
    ours = FrechetDistance(FrechetDistance.Config()).parts(*features)["uncorrected"]
    print(f"ours {ours:.12g}, torch-fidelity {theirs:.12g}")
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_the_kernel_distance_agrees_with_torch_fidelity_on_a_single_subset_of_all_samples(features: Features) -> None:
    found = kid.kid_features_to_metric(*features, kid_subsets=1, kid_subset_size=len(features[0]), verbose=False)
    ours, theirs = score(KernelDistance, *features), found[kid.KEY_METRIC_KID_MEAN]
    print(f"ours {ours:.12g}, torch-fidelity {theirs:.12g}")
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_precision_and_recall_agree_with_torch_fidelity(features: Features) -> None:
    ours = {name: score(metric, *features, k=3) for name, metric in neighbours.items()}
    assert ours == precision_and_recall(*features, k=3)


@settings(deadline=None, max_examples=40)
@given(samples=clouds(), test=clouds(), k=st.integers(1, 3))
def test_points_at_exactly_the_radius_are_inside_as_in_torch_fidelity(samples: Tensor, test: Tensor, k: int) -> None:
    ours = {name: score(metric, samples, test, k=k) for name, metric in neighbours.items()}
    assert ours == precision_and_recall(samples, test, k)
