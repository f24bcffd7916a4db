"""Uncertainty of values, and comparisons between them.

A mean over test examples and seeds has two sources of error, kept separate here: the choice of test examples (the
standard error over examples) and the choice of seeds (the spread over seeds). A comparison is paired if both sides used
the same examples or the same seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev, variance
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

confidence = 0.95


@dataclass(frozen=True)
class Measured:
    """A value measured for several seeds.

    Args:
        by_seed: the value for each seed.
        stderrs: the standard error over examples (or repeats) for each seed that has one.
        degrees_of_freedom: of these standard errors; None if they have many.
        ids: ``(n,)`` example ids, or None.
        values: ``(n,)`` per-example values, averaged over seeds; None if there are none.
    """

    by_seed: dict[int, float]
    stderrs: tuple[float, ...] = ()
    degrees_of_freedom: float | None = None
    ids: NDArray[np.int64] | None = None
    values: NDArray[np.float64] | None = None

    @property
    def value(self) -> float:
        """The mean over seeds."""
        return fmean(self.by_seed.values())

    @property
    def stderr(self) -> float | None:
        """The standard error over test examples of the mean over seeds."""
        if self.values is not None and len(self.values) > 1:
            return float(self.values.std(ddof=1) / math.sqrt(len(self.values)))
        if not self.stderrs:
            return None
        # Without per-example values it is not known how seeds share their examples: this is the cautious bound.
        return math.sqrt(fmean([each**2 for each in self.stderrs]))

    @property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for a single one."""
        return stdev(self.by_seed.values()) if len(self.by_seed) > 1 else None


@dataclass(frozen=True)
class Difference:
    """How much larger one value is than another, with a 95% interval."""

    value: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def difference(a: Measured, b: Measured) -> Difference:
    """Compare two values: a − b, with the errors over examples and over seeds added in quadrature.

    Examples are paired by id and seeds by number if both sides have the same. Degrees of freedom follow Satterthwaite
    (1946). If a side has one seed, its spread is unknown and the interval is valid for these fits only.
    """
    value = a.value - b.value
    sources = [*_over_examples(a, b), *_over_seeds(a, b)]
    total = sum(each for each, _ in sources)
    if total == 0:
        return Difference(value, value, value)
    limited = sum(each**2 / df for each, df in sources)
    freedom = total**2 / limited if limited else math.inf
    margin = t_quantile(0.5 + confidence / 2, freedom) * math.sqrt(total)
    return Difference(value, value - margin, value + margin)


def ranks(measured: Sequence[Measured], direction: str) -> list[int]:
    """Return ranks: one more than the number of values that are significantly better.

    ``direction`` is ``higher`` or ``lower``, whichever is better.
    """
    sign = 1 if direction == "higher" else -1
    return [1 + sum(_is_better(other, own, sign) for other in measured if other is not own) for own in measured]


def t_quantile(probability: float, freedom: float) -> float:
    """Return a quantile of Student's t distribution; of the normal one for many degrees of freedom."""
    if freedom > 1000:
        return NormalDist().inv_cdf(probability)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _is_better(a: Measured, b: Measured, sign: int) -> bool:
    gap = difference(a, b)
    return gap.value * sign > 0 and gap.is_significant


def _over_examples(a: Measured, b: Measured) -> list[tuple[float, float]]:
    """Return the variance of the difference that comes from the examples, with its degrees of freedom."""
    if a.values is not None and b.values is not None and a.ids is not None and b.ids is not None:
        same = len(a.ids) == len(b.ids) and bool((a.ids == b.ids).all())
        if same and len(a.ids) > 1:
            gaps = a.values - b.values
            return [(float(gaps.var(ddof=1)) / len(gaps), len(gaps) - 1)]
    return [(each.stderr**2, each.degrees_of_freedom or math.inf) for each in (a, b) if each.stderr]


def _over_seeds(a: Measured, b: Measured) -> list[tuple[float, float]]:
    if a.by_seed.keys() == b.by_seed.keys() and len(a.by_seed) > 1:
        gaps = [a.by_seed[seed] - b.by_seed[seed] for seed in a.by_seed]
        return [(variance(gaps) / len(gaps), len(gaps) - 1)]
    return [
        (variance(each.by_seed.values()) / len(each.by_seed), len(each.by_seed) - 1)
        for each in (a, b)
        if len(each.by_seed) > 1
    ]
