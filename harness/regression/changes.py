"""Change points of series: where the mean of a series of numbers shifts, and by how much.

Binary segmentation (Vostrikova 1981) with a permutation test, as in E-divisive (Matteson & James 2014), which others
use for the histories of benchmarks (Daly et al. 2020). E-divisive looks for any change of a distribution. Here only the
mean of log ratios or of differences matters, so the statistic is the standardised difference of two means (CUSUM).

If a shift is soon reverted, no single split of the whole series shows it. So splits are sought in seeded intervals
(Kovács, Bühlmann, Li & Munk 2023): the whole series, and overlapping shorter ones. The permutation test of the largest
statistic keeps its error rate for any distribution, if the numbers are exchangeable as long as nothing changes.

Timings of one night may resemble those of the night before, as machines and their load do. Such numbers are not
exchangeable: their means differ by more than those of permutations. So the observed statistic counts for less, by the
factor by which an autoregressive process of order 1 increases the errors of means (Bayley & Hammersley 1946).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from harness.regression.findings import holm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

fewest = 5  # numbers on each side of a change
level = 0.01  # the probability that series without any change have one, if their numbers are exchangeable
_confidence = 0.95
_decay = math.sqrt(0.5)  # of the length of seeded intervals, from one layer to the next
_fewest_draws = 1_999
_batch = 100  # permutations at a time, which fit into a cache
_numbers_per_split = 20  # of a series whose autocorrelation is estimated
_most_autocorrelation = 0.9
_enough = 20  # draws as extreme as what was observed, after which a p-value is known well enough


@dataclass(frozen=True)
class Shift:
    """A shift of the mean.

    Args:
        place: the index of the first number after it.
        size: the mean after it minus the mean before it, each up to the next shift.
        low: the lower end of the 95% interval of ``size``, for this place.
        high: its upper end.
        p_value: of the hypothesis that nothing shifted in the part of the series that was split here.
    """

    place: int
    size: float
    low: float
    high: float
    p_value: float


def find_shifts(series: Sequence[Floats], margins: Sequence[Floats | None]) -> list[list[Shift]]:
    """Return the shifts of each series, in order.

    All series are split once, then all parts are split again, until nothing is found. Each of these rounds tests its
    parts together (Holm 1979). So series without any change have one with a probability of at most 1% in all, if their
    numbers are exchangeable.

    Args:
        series: of shape ``(n,)`` each, in order of time.
        margins: for each series, half the width of the 95% interval of an error that does not average out over its
            numbers, ``(n,)``; or None. A shift has to exceed that as well. Numbers without it may be autocorrelated.
    """
    found: list[dict[int, float]] = [{} for _ in series]
    parts = [(number, 0, len(values)) for number, values in enumerate(series)]
    while tested := [part for part in parts if _can_be_split(series[part[0]][part[1] : part[2]])]:
        draws = max(_fewest_draws, math.ceil(2 * len(tested) / level))
        splits = [
            _best_split(series[number][start:end], draws, is_autocorrelated=margins[number] is None)
            for number, start, end in tested
        ]
        is_split = holm([p_value for _, p_value in splits], level, len(tested))
        parts = []
        for (number, start, end), (place, p_value), is_found in zip(tested, splits, is_split, strict=True):
            if is_found:
                found[number][start + place] = p_value
                parts += [(number, start, start + place), (number, start + place, end)]
    return [_measured(*each) for each in zip(series, margins, found, strict=True)]


def _can_be_split(values: Floats) -> bool:
    return len(values) >= 2 * fewest and bool((values != values[0]).any())


def _best_split(values: Floats, draws: int, *, is_autocorrelated: bool) -> tuple[int, float]:
    """Return where values are split best, and the p-value of the hypothesis that nothing shifted.

    Drawing permutations ends early where many are as extreme as what was observed (Besag & Clifford 1991). They are the
    same in every call.

    Args:
        values: ``(n,)``.
        draws: of permutations, at most.
        is_autocorrelated: whether values may resemble their neighbours; else they are exchangeable if nothing shifted.
    """
    import numpy as np

    splits = _splits(len(values))
    centred = values - values.mean()
    observed = splits.statistics(centred[:, None])[:, 0]
    place, largest = int(splits.places[observed.argmax()]), float(observed.max()) * (1 - 1e-12)
    if is_autocorrelated:
        # What the split explains of the variance is compared with what it leaves, as in an F-test.
        explained = largest**2
        left = float(centred @ centred) - explained
        largest *= math.sqrt((explained + left) / (explained + left * _inflation(values)))
    generator = np.random.default_rng(0)
    extreme = drawn = 0
    while drawn < draws:
        batch = np.tile(centred, (min(draws - drawn, _batch), 1))
        permuted = generator.permuted(batch, axis=1).T
        is_extreme = splits.statistics(permuted).max(axis=0) >= largest
        if extreme + is_extreme.sum() >= _enough:
            last = int(np.flatnonzero(is_extreme)[_enough - extreme - 1])
            return place, _enough / (drawn + last + 1)
        extreme += int(is_extreme.sum())
        drawn += len(batch)
    return place, (extreme + 1) / (drawn + 1)


def _inflation(values: Floats) -> float:
    """Return the variance of means of neighbouring values, as a multiple of that of exchangeable ones; at least 1.

    It is estimated from the autocorrelation of values around their levels. Shifts would look like autocorrelation, and
    hide each other, so values are first split where this fits best, one split after another. Levels follow what is
    correlated, which makes the estimate too small: by about ``(1 + 3 r) / n`` for a mean (Kendall 1954), and for each
    level between places that are chosen by two to three times that in simulations of 20 to 120 values.

    Args:
        values: ``(n,)``.
    """
    import numpy as np

    n = len(values)
    splits = _splits(n)
    places: set[int] = set()
    residuals = values - values.mean()
    for _ in range(max(2, n // _numbers_per_split)):
        places.add(int(splits.places[splits.statistics(residuals[:, None])[:, 0].argmax()]))
        residuals = np.concatenate([part - part.mean() for part in np.split(values, sorted(places))])
    if np.abs(residuals).max() < 1e-12 * np.abs(values).max():  # only rounding is left
        return 1.0
    found = float(residuals[1:] @ residuals[:-1] / (residuals @ residuals))
    found += 2.5 * (len(places) + 1) * (1 + 3 * found) / n
    found = min(max(found, 0.0), _most_autocorrelation)
    return (1 + found) / (1 - found)


@dataclass(frozen=True)
class _Splits:
    """All splits of all seeded intervals of n values; the arrays have shape ``(k,)``."""

    starts: Indices
    places: Indices
    ends: Indices

    def statistics(self, values: Floats) -> Floats:
        """Return the absolute difference of the two means of each split, as a multiple of its standard error.

        Args:
            values: ``(n, s)``, of s series with mean 0; the standard deviation of a value counts as 1.

        Returns:
            ``(k, s)``.
        """
        import numpy as np

        sums = np.zeros((len(values) + 1, values.shape[1]))
        np.cumsum(values, axis=0, out=sums[1:])
        before, after = (self.places - self.starts)[:, None], (self.ends - self.places)[:, None]
        scale = np.sqrt(before * after / (before + after))
        found: Floats = sums[self.places] * (scale / before + scale / after)
        found -= sums[self.starts] * (scale / before)
        found -= sums[self.ends] * (scale / after)
        return np.abs(found, out=found)


@cache
def _splits(n: int) -> _Splits:
    import numpy as np

    found = [
        (start, place, end) for start, end in _seeded_intervals(n) for place in range(start + fewest, end - fewest + 1)
    ]
    return _Splits(*np.array(found).T)


def _seeded_intervals(n: int) -> list[tuple[int, int]]:
    """Return the whole, and overlapping intervals of lengths that decrease from layer to layer, each once."""
    found: dict[tuple[int, int], None] = {}
    length = float(n)
    while (size := math.ceil(length)) >= 2 * fewest:
        count = 2 * math.ceil(n / length) - 1
        for number in range(count):
            start = round(number * (n - size) / max(1, count - 1))
            found[start, start + size] = None
        length *= _decay
    return list(found)


def _measured(values: Floats, margins: Floats | None, p_values: dict[int, float]) -> list[Shift]:
    """Return the shifts with their sizes, without those whose interval contains 0.

    Each is first placed again between its neighbours (Bai 1997), which were not known when it was found.
    """
    found = sorted(p_values.items())
    for number, (place, p_value) in enumerate(found):
        before, after = _neighbours([place for place, _ in found], number, len(values))
        found[number] = (before + _place_of_one(values[before:after]), p_value)
    while True:
        places = [place for place, _ in found]
        shifts = [
            _shift(values, margins, _neighbours(places, number, len(values)), *each)
            for number, each in enumerate(found)
        ]
        unsure = [number for number, shift in enumerate(shifts) if shift.low <= 0 <= shift.high]
        if not unsure:
            return shifts
        del found[min(unsure, key=lambda number: abs(shifts[number].size) / (shifts[number].high - shifts[number].low))]


def _neighbours(places: Sequence[int], number: int, n: int) -> tuple[int, int]:
    bounds = [0, *places, n]
    return bounds[number], bounds[number + 2]


def _place_of_one(values: Floats) -> int:
    import numpy as np

    n = len(values)
    places = np.arange(fewest, n - fewest + 1)
    sums = np.cumsum(values - values.mean())[places - 1]
    return int(places[(np.abs(sums) / np.sqrt(places * (n - places))).argmax()])


def _shift(values: Floats, margins: Floats | None, neighbours: tuple[int, int], place: int, p_value: float) -> Shift:
    """Return a shift with the interval of Welch (1947), to which errors that do not average out are added."""
    import numpy as np
    from scipy.special import stdtrit

    sides = slice(neighbours[0], place), slice(place, neighbours[1])
    before, after = (values[side] for side in sides)
    size = float(after.mean() - before.mean())
    variances = [float(each.var(ddof=1)) / len(each) for each in (before, after)]
    margin = 0.0
    if sum(variances) > 0:
        terms = [each**2 / (len(side) - 1) for each, side in zip(variances, (before, after), strict=True)]
        freedom = sum(variances) ** 2 / sum(terms)
        margin = float(stdtrit(freedom, (1 + _confidence) / 2)) * math.sqrt(sum(variances))
    if margins is not None:
        margin = math.hypot(margin, *(float(np.sqrt(np.square(margins[side]).mean())) for side in sides))
    return Shift(place, size, size - margin, size + margin, p_value)
