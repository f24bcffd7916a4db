"""Shared by comparisons of sample quality metrics: scores of given features, and features with many ties."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor


def score(metric: Any, samples: Tensor, test: Tensor, **values: Any) -> float:
    """Return the value of a metric on features of samples and of test images."""
    return metric(metric.Config(**values)).compare(samples, test, test[:0])


def clouds(shift: tuple[float, float] = (0, 0)) -> st.SearchStrategy[Tensor]:
    """Return shifted small integers: they give many equal points and distances, and exact sums of squares."""
    points = st.lists(st.tuples(*[st.integers(-2, 2)] * 2), min_size=5, max_size=9)
    return points.map(lambda found: torch.tensor(found, dtype=torch.float64) + torch.tensor(shift))
