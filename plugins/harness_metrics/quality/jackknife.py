"""The jackknife of sample quality: pseudo-values over groups of samples and over groups of test images."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

groups = 10
_quantile = NormalDist().inv_cdf(0.975)


class Jackknife(NamedTuple):
    """A value, and its pseudo-values when a group of samples or of test images is left out, each ``(groups,)``."""

    value: float
    over_samples: Tensor
    over_test: Tensor

    @property
    def corrected(self) -> float:
        """The value without its bias of the order 1 / n in the samples and in the test images (Quenouille, 1956)."""
        return float(self.over_samples.mean() + self.over_test.mean()) - self.value

    @property
    def variances(self) -> tuple[float, float]:
        """The variances of the value over samples and over test images."""
        over_samples, over_test = (float(each.var() / len(each)) for each in (self.over_samples, self.over_test))
        return over_samples, over_test


def group_of(n: int) -> Tensor:
    """Return the group of each of ``n`` rows, ``(n,)``: at most ten groups, whose sizes differ by one at most."""
    return torch.arange(n) % min(groups, n)


def pseudo_values(value: float, left_out: Tensor) -> Tensor:
    """Return G θ − (G − 1) θ₍₋ᵢ₎ for θ of all rows and θ₍₋ᵢ₎ without group i, ``(G,)`` (Tukey, 1958)."""
    return len(left_out) * value - (len(left_out) - 1) * left_out


def each_left_out(x: Tensor, of: Callable[[Tensor], float]) -> Tensor:
    """Return the value of the rows ``(n, d)`` without one group at a time, ``(G,)`` float64."""
    group = group_of(len(x)).to(x.device)
    return torch.tensor([of(x[group != each]) for each in range(int(group.max()) + 1)], dtype=torch.float64)


def means_left_out(values: Tensor) -> Tensor:
    """Return the mean of the values ``(n,)`` without one group at a time, ``(G,)``."""
    group = group_of(len(values)).to(values.device)
    sums = torch.zeros(int(group.max()) + 1, dtype=values.dtype, device=values.device).index_add_(0, group, values)
    return (values.sum() - sums) / (len(values) - group.bincount())


def error_of_a_sure_share(n: int) -> float:
    """Return the standard error of a share that is 0 or 1 in n cases: that of Wilson's 95% interval (1927)."""
    return _quantile / (2 * (n + _quantile**2)) if n else math.inf
