"""Errors of values that are computed from two sets, samples and test images: by half-samples, or by an expansion.

Both split the test images into fixed groups by their position, so that the groups are the same for every model, and
values of two models can be compared in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

import torch
from torch import Tensor

strata, groups, most_groups = 15, 10, 100  # of half-samples, of the jackknife, of an expansion
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
    degrees_of_freedom: float
    rest: float | None = None

    @property
    def stderr(self) -> float:
        """The standard error of the value."""
        n = len(self.pseudo_values)
        spread = torch.tensor(self.pseudo_values, dtype=torch.float64).var() / n
        return math.sqrt(float(spread) + (self.rest or 0) ** 2)


class Terms(NamedTuple):
    """What the rows of one of two sets, x and y, contribute to a value (Hoeffding, 1948).

    θ̂ = θ + Σ φ(xᵢ) / m + Σ φ(yⱼ) / n + Σ h(xᵢ, xⱼ) / m² + Σ h(yᵢ, yⱼ) / n² + Σ h(xᵢ, yⱼ) / (m n), where pairs within a
    set count once, and φ and h have the mean 0 in each argument.

    Args:
        first: φ of each row, ``(n,)``.
        pairs: the variance of the terms of pairs within the set, and half of that of pairs across both sets.
        slope: the derivative of E φ² / m + E φ² / n, through φ, with respect to the share of each row, ``(n,)``.
    """

    first: Tensor
    pairs: float
    slope: Tensor


def smallest_half(n: int) -> int:
    """Return the least number of rows in a half of ``n`` rows."""
    pairs = min(strata, n // 2)
    return pairs * (n // (2 * pairs)) if pairs else 0


def by_half_samples(
    samples: Tensor, test: Tensor, of: Callable[[Tensor, Tensor], float], own_rate: bool = False
) -> Resampled:
    """Return the value of samples ``(m, d)`` and test images ``(n, d)`` with the error by balanced half-samples.

    Each of 16 times, both sets are cut in halves, A and B, along the columns of a Hadamard matrix (McCarthy, 1969). The
    halves share no row, so that (θ_A − θ_B)² / 2 is an unbiased estimate of the variance of θ for half of the rows, of
    which that for all rows is about half. A jackknife would count twice what samples and test images, or neighbours
    among them, contribute together: for shares of nearest neighbours its errors are 1.5 to 3 times too large.

    Args:
        samples: their features.
        test: those of the test images.
        of: the value.
        own_rate: whether the variance may fall more slowly than in proportion to the number of rows, as where a few
            rows decide a value. It then falls from halves to all rows as from quarters to halves, at most by half
            (the rate of subsampling: Politis, Romano and Wolf, 1999, chapter 8).
    """
    value = of(samples, test)
    halves = [(*half, *test_half) for half, test_half in zip(_halves(samples), _halves(test), strict=True)]
    gaps = [of(a, test_a) - of(b, test_b) for a, b, test_a, test_b in halves]
    share = 0.5
    if own_rate:
        quarters = [(x[::2], x[1::2], y[::2], y[1::2]) for a, b, c, d in halves for x, y in ((a, c), (b, d))]
        share = _fall_of_variance(gaps, [of(a, test_a) - of(b, test_b) for a, b, test_a, test_b in quarters])
    scale = math.sqrt(share * (len(gaps) - 0.5))
    pseudo_values = [value + sign * scale * gap for gap in gaps for sign in (1, -1)]
    return Resampled(value, tuple(pseudo_values), min(strata, len(samples) // 2, len(test) // 2))


def by_expansion(value: float, samples: Terms, test: Terms) -> Resampled:
    """Return a value with the error that follows from its terms of first and second order.

    The mean of φ² / n over the rows counts what pairs of rows contribute twice, as a jackknife does (Efron and Stein,
    1981). Here their variance, which is known better, is subtracted once. It is also the least variance: if samples and
    test images have the same distribution, only pairs contribute.

    The error is itself an estimate. As far as its variance V̂ goes along with the value, by κ = Cov(V̂, θ̂) / V, V̂ has a
    variance of κ² V at least, and so 2 V / κ² degrees of freedom (Satterthwaite, 1946). At least 3 are stated, because
    Student's t with 2 has no variance, and at most the number of groups less one.
    """
    sides = samples, test
    firsts = [float(each.first.square().mean()) / len(each.first) for each in sides]
    variances = [max(first - each.pairs, each.pairs) for first, each in zip(firsts, sides, strict=True)]
    along = sum(
        float((each.first * (each.first.square() / len(each.first) + each.slope)).mean()) / len(each.first)
        for each in sides
    )
    count = min(most_groups, len(test.first))
    freedom = 2 * sum(variances) * (sum(firsts) / along) ** 2 if along else math.inf
    return Resampled(
        value,
        tuple((value + _spread_over(count, test.first, variances[1])).tolist()),
        min(max(3, freedom), count - 1),
        math.sqrt(variances[0]),
    )


def without_bias(value: float, without_samples: Sequence[float], without_test: Sequence[float]) -> float:
    """Return a value without its bias of the order 1 / n in either set, by a jackknife (Quenouille, 1956).

    Args:
        value: θ of all rows.
        without_samples: the values without each group of samples.
        without_test: the values without each group of test images.
    """
    return value + sum((len(each) - 1) * (value - fmean(each)) for each in (without_samples, without_test))


def each_left_out(x: Tensor, of: Callable[[Tensor], float]) -> list[float]:
    """Return the value of the rows ``(n, d)`` without one of at most ten groups at a time."""
    group = torch.arange(len(x), device=x.device) % min(groups, len(x))
    return [of(x[group != each]) for each in range(min(groups, len(x)))]


def error_of_a_sure_share(n: int) -> float:
    """Return the standard error of a share that is 0 or 1 in n cases: half of Wilson's interval (1927) over 1.96."""
    return _quantile / (2 * (n + _quantile**2))


def _fall_of_variance(gaps: Sequence[float], gaps_of_quarters: Sequence[float]) -> float:
    """Return the variance of halves divided by that of quarters, from differences of pairs: between 1/2 and 1."""
    of_halves, of_quarters = (fmean(gap**2 for gap in each) for each in (gaps, gaps_of_quarters))
    return min(max(0.5, of_halves / of_quarters), 1.0) if of_quarters else 0.5


def _halves(x: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield both halves of the rows ``(n, d)``: of each pair of groups, one is in either."""
    pairs = min(strata, len(x) // 2)
    group = torch.arange(len(x), device=x.device) % (2 * pairs)
    for signs in _hadamard(4)[:, 1 : pairs + 1]:
        first = torch.cat([signs, -signs]).to(x.device)[group] > 0
        yield x[first], x[~first]


def _spread_over(count: int, values: Tensor, variance: float) -> Tensor:
    """Return the means of ``count`` groups, less their mean and scaled: the mean of them all has this variance."""
    group = torch.arange(len(values), device=values.device) % count
    sums = torch.zeros(count, dtype=values.dtype, device=values.device).index_add_(0, group, values)
    means = sums / group.bincount(minlength=count)
    centred = means - means.mean()
    own = float(centred.square().sum()) / (count * (count - 1))
    return centred * math.sqrt(variance / own) if own else centred


def _hadamard(order: int) -> Tensor:
    """Return Sylvester's matrix of ±1 with 2^order orthogonal columns; the first is of ones."""
    matrix = torch.ones(1, 1)
    for _ in range(order):
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix
