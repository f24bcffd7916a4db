"""Errors of values that are computed from two sets, samples and test images: half-samples, and the jackknife.

Both split samples and test images into fixed groups by their position, so that the groups of test images are the same
for every model, and values of two models can be compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import NamedTuple

import torch
from torch import Tensor

strata, groups = 15, 10  # of half-samples, of the jackknife
_quantile = NormalDist().inv_cdf(0.975)


class Resampled(NamedTuple):
    """A value with its uncertainty.

    Args:
        value: θ.
        pseudo_values: their mean is θ, and the standard error of that mean is the error, except for ``rest``.
        degrees_of_freedom: of that error, and of ``rest``.
        rest: the part of the error that the pseudo-values lack, which is independent between models.
    """

    value: float
    pseudo_values: tuple[float, ...]
    degrees_of_freedom: int
    rest: float | None = None

    @property
    def stderr(self) -> float:
        """The standard error of the value."""
        n = len(self.pseudo_values)
        spread = torch.tensor(self.pseudo_values, dtype=torch.float64).var() / n
        return math.sqrt(float(spread) + (self.rest or 0) ** 2)


def smallest_half(n: int) -> int:
    """Return the least number of rows in a half of ``n`` rows."""
    pairs = min(strata, n // 2)
    return pairs * (n // (2 * pairs)) if pairs else 0


def by_half_samples(samples: Tensor, test: Tensor, of: Callable[[Tensor, Tensor], float]) -> Resampled:
    """Return the value of samples ``(m, d)`` and test images ``(n, d)`` with the error by balanced half-samples.

    Each of 16 times, both sets are cut in halves, A and B, along the columns of a Hadamard matrix (McCarthy, 1969). The
    halves share no row, so that (θ_A − θ_B)² / 2 is an unbiased estimate of the variance of θ for half of the rows, of
    which that for all rows is about half. A jackknife would count twice what samples and test images, or neighbours
    among them, contribute together: for shares of nearest neighbours its errors are 1.5 to 3 times too large.
    """
    value = of(samples, test)
    halves = zip(_halves(samples), _halves(test), strict=True)
    gaps = [(of(a, test_a) - of(b, test_b)) / 2 for (a, b), (test_a, test_b) in halves]
    scale = math.sqrt(2 * len(gaps) - 1)
    pseudo_values = [value + sign * scale * gap for gap in gaps for sign in (1, -1)]
    return Resampled(value, tuple(pseudo_values), min(strata, len(samples) // 2, len(test) // 2))


def by_jackknife(
    value: float, without_samples: Sequence[float], without_test: Sequence[float], *, correct: bool
) -> Resampled:
    """Return a value with the error by a jackknife over samples and over test images, which are added.

    The pseudo-values are G θ − (G − 1) θ₍₋ᵢ₎ for θ₍₋ᵢ₎ without group i (Tukey, 1958).

    Args:
        value: θ of all rows.
        without_samples: the values without each group of samples.
        without_test: the values without each group of test images.
        correct: whether to subtract the bias, of the order 1 / n, of either set (Quenouille, 1956).
    """
    over_samples, over_test = (
        len(each) * value - (len(each) - 1) * torch.tensor(each, dtype=torch.float64)
        for each in (without_samples, without_test)
    )
    corrected = float(over_samples.mean() + over_test.mean()) - value if correct else value
    rest = math.sqrt(float(over_samples.var()) / len(over_samples))
    pseudo_values = over_test - over_test.mean() + corrected
    return Resampled(corrected, tuple(pseudo_values.tolist()), len(over_test) - 1, rest)


def each_left_out(x: Tensor, of: Callable[[Tensor], float]) -> list[float]:
    """Return the value of the rows ``(n, d)`` without one of at most ten groups at a time."""
    group = torch.arange(len(x), device=x.device) % min(groups, len(x))
    return [of(x[group != each]) for each in range(min(groups, len(x)))]


def error_of_a_sure_share(n: int) -> float:
    """Return the standard error of a share that is 0 or 1 in n cases: half of Wilson's interval (1927) over 1.96."""
    return _quantile / (2 * (n + _quantile**2))


def _halves(x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield both halves of the rows ``(n, d)``: of each pair of groups, one is in either."""
    pairs = min(strata, len(x) // 2)
    group = torch.arange(len(x), device=x.device) % (2 * pairs)
    for signs in _hadamard(4)[:, 1 : pairs + 1]:
        first = torch.cat([signs, -signs]).to(x.device)[group] > 0
        yield x[first], x[~first]


def _hadamard(order: int) -> Tensor:
    """Return Sylvester's matrix of ±1 with 2^order orthogonal columns; the first is of ones."""
    matrix = torch.ones(1, 1)
    for _ in range(order):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix
