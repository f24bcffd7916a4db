"""Uncertainty of values, and comparisons of all rows of a board at once.

The error of a value has three sources, kept separate here: the choice of test examples, the choice of seeds, and the
measurement itself (the randomness of an estimator, or the rounds of a timing). All rows share their test examples, so
the error over examples is paired where per-example or per-group values allow it. Seeds of two models have nothing in
common, and measurements are independent, so neither is paired.

``docs/statistics.md`` says how often the ranks are wrong, as measured by ``python -m tests.simulations.ranks``.
Functions of arrays take any number of leading dimensions, so that many boards can be simulated at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from hashlib import sha256
from statistics import fmean
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.contracts.events import Record, Values

    Floats = NDArray[np.float64]
    Integers = NDArray[np.int64]

confidence = 0.95
_block = 500  # rows that are compared with as many others at once: more would leave the cache of a core
_many = 1e8  # degrees of freedom; more make no difference
_largest_z = 8.0  # of a p-value, which is then 6e-16: quantiles of larger ones are not exact
_enough = 4  # degrees of freedom; with fewer, Welch's test is wrong too often if one row spreads more than the others
_own_error_rate = 0.025  # of all intervals of a board that use the spread of their two rows alone


@dataclass(frozen=True)
class Measured:
    """A value measured for several seeds.

    Args:
        by_seed: the value for each seed.
        stderrs: the standard error for each seed that has one.
        degrees_of_freedom: of these standard errors; None if they have many.
        ids: ``(n,)`` example ids, or None.
        values: ``(n,)`` per-example values, averaged over seeds; None if there are none.
        group_values: ``(g,)`` pseudo-values from resampling the test examples, averaged over seeds, or None.
        measurement_stderr: the part of ``stderrs`` that is not over test examples and is independent between fits; the
            root mean square over seeds.
    """

    by_seed: dict[int, float]
    stderrs: tuple[float, ...] = ()
    degrees_of_freedom: float | None = None
    ids: Integers | None = None
    values: Floats | None = None
    group_values: Floats | None = None
    measurement_stderr: float = 0.0

    @cached_property
    def value(self) -> float:
        """The mean over seeds."""
        return fmean(self.by_seed.values())

    @cached_property
    def stderr(self) -> float | None:
        """The standard error of ``value``, without the spread over seeds; None if it is not known."""
        if self.values is not None and len(self.values) > 1:
            return math.hypot(float(self.values.std(ddof=1) / math.sqrt(len(self.values))), self.measurement_stderr)
        if not self.stderrs:
            return None
        # Without per-example values it is not known how seeds share their examples: this is the cautious bound.
        return math.sqrt(fmean([each**2 for each in self.stderrs]))

    @cached_property
    def spread(self) -> float | None:
        """The standard deviation over seeds; None for a single one."""
        return standard_deviation(list(self.by_seed.values())) if len(self.by_seed) > 1 else None

    @property
    def example_variance(self) -> float:
        """The squared standard error over test examples; 0 if it is not known."""
        return max(0.0, (self.stderr or 0.0) ** 2 - self.measurement_stderr**2)

    @cached_property
    def pairing(self) -> tuple[str, int, bytes] | None:
        """What the row is paired on, how many there are, and which; rows are paired if all three are equal."""
        if self.values is not None and self.ids is not None and len(self.values) > 1:
            return "examples", len(self.values), sha256(self.ids.tobytes()).digest()
        if self.group_values is not None and len(self.group_values) > 1:
            return "groups", len(self.group_values), b""
        return None

    @property
    def paired_values(self) -> Floats | None:
        """What is compared with that of rows with the same ``pairing``: ``values`` or ``group_values``, or None."""
        if self.pairing is None:
            return None
        return self.values if self.pairing[0] == "examples" else self.group_values


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of a board: each of some rows with each of others, or of the same.

    Args:
        first: the places of the former on the board, ``(a,)``.
        second: those of the latter, ``(b,)``.
    """

    first: Integers
    second: Integers

    def sums(self, of_rows: Floats) -> Floats:
        """Return the sums of what both rows of a pair have: ``(..., k) -> (..., a, b)``."""
        sums: Floats = of_rows[..., self.first, None] + of_rows[..., None, self.second]
        return sums


@dataclass(frozen=True)
class Comparison:
    """Differences between rows of a board of k rows: of all of them, where a = b = k, or of some.

    Entry ``(i, j)`` of an array is about the i-th of the first rows minus the j-th of the second ones. The difference
    between a row and itself is 0; its errors have no meaning.

    Args:
        rows: k.
        difference: of the values, ``(..., a, b)``.
        over_examples: the part of its variance that comes from the test examples, ``(..., a, b)``.
        over_seeds: the part that comes from the seeds.
        of_measurement: the part that comes from the measurement itself and that the spread over seeds does not show.
        board_freedom: the degrees of freedom of the sum of the three, as far as it rests on estimates that all rows
            share, ``(..., a, b)``.
        pair_freedom: the same as far as it rests on estimates of its own.
        seed_freedom: the degrees of freedom of what the spreads of the two rows say of the variance, ``(..., a, b)``.
        rest_freedom: those of the rest.
        least_margin: half the width of an interval that takes nothing from the other rows of the board,
            ``(..., a, b)``.
        own_margin: the same so that all these intervals of a board hold at once, ``(..., a, b)``; infinite if one of
            the two rows has too few seeds to know its spread.
        has_pooled_spread: whether at least two rows of the board have a spread, ``(..., 1, 1)``. If not, that of a
            single row may be small by chance, so its few degrees of freedom are not mixed with those of the rest.
    """

    rows: int
    difference: Floats
    over_examples: Floats
    over_seeds: Floats
    of_measurement: Floats
    board_freedom: Floats
    pair_freedom: Floats
    seed_freedom: Floats
    rest_freedom: Floats
    least_margin: Floats
    own_margin: Floats
    has_pooled_spread: NDArray[np.bool_]

    def margin(self, *, simultaneous: bool = True) -> Floats:
        """Return half the widths of 95% intervals of the differences, ``(..., a, b)``.

        Args:
            simultaneous: whether all intervals of a board hold at once with probability 95%, or each one on its own.
        """
        import numpy as np

        rows = self.rows if simultaneous else 2
        if not self.has_pooled_spread.any():
            return self._margin_of_one_spread(rows)
        margins = critical_value(rows, self.board_freedom, self.pair_freedom) * np.sqrt(self.variance)
        if simultaneous:
            margins = np.minimum(margins, self.own_margin)
        margins = np.maximum(margins, self.least_margin)
        if self.has_pooled_spread.all():
            return margins
        return np.where(self.has_pooled_spread, margins, self._margin_of_one_spread(rows))

    def _margin_of_one_spread(self, rows: int) -> Floats:
        import numpy as np

        unbounded = np.array(math.inf)
        squared = critical_value(rows, unbounded, self.rest_freedom) ** 2 * self.rest
        if self.over_seeds.any():
            squared += critical_value(rows, self.seed_freedom, unbounded) ** 2 * self.over_seeds
        margins: Floats = np.sqrt(squared)
        return margins

    @property
    def variance(self) -> Floats:
        """The squared standard errors of the differences, ``(..., a, b)``."""
        return self.over_seeds + self.rest

    @property
    def rest(self) -> Floats:
        """The part of the variance that the spread over seeds does not show, ``(..., a, b)``."""
        return self.over_examples + self.of_measurement

    def p_values(self, threshold: float) -> Floats:
        """Return p-values of the hypotheses that each difference is at most ``threshold``, ``(..., a, b)``.

        Those of the intervals whose squared half width is t_ν² S + t_μ² R: S is what the spread over seeds says of the
        variance, with ν degrees of freedom, and R the rest, with μ. Student's t with the degrees of freedom of
        Satterthwaite (1946) would be wrong more often than it says if few seeds agree by chance. Two rows may differ in
        their spread, which is not taken into account: at most one of them should have one. The p-value of a difference
        without an error is 0 or 1.

        Args:
            threshold: in the unit of the values.
        """
        import numpy as np
        from scipy.special import ndtr, stdtrit

        excess = self.difference - threshold
        # Bisection over z, of which p is the probability of a larger value of a normal variable.
        low, high = np.zeros(excess.shape), np.full(excess.shape, _largest_z)
        for _ in range(60):
            z = (low + high) / 2
            level = ndtr(z)
            squared = sum(
                stdtrit(np.clip(freedom, 1, _many), level) ** 2 * variance
                for freedom, variance in ((self.seed_freedom, self.over_seeds), (self.rest_freedom, self.rest))
            )
            is_within = squared < excess**2
            low, high = np.where(is_within, z, low), np.where(is_within, high, z)
        found: Floats = np.where(self.variance > 0, ndtr(-np.sign(excess) * low), excess <= 0)
        return found


def rank_ranges(rows: Sequence[Measured], direction: str) -> tuple[Integers, Integers, Floats]:
    """Return the lowest and highest rank of each row that the simultaneous intervals allow, and its margin, ``(k,)``.

    The lowest is one more than the number of rows that are better, the highest is k less the number of rows that are
    worse. With probability 95% all ranges contain the true ranks (Al Mohamad, Goeman & van Zwet 2022). Blocks of rows
    are compared with each other in turn, so that memory grows with k and not with its square.

    A margin is half the width of a row's comparison interval: intervals around the values of two rows overlap if the
    rows do not differ (Hochberg, Weiss & Hart 1982). The sums of two margins are those of the differences, by least
    squares: exactly so for two rows, and for rows with equal errors. A single row has NaN.

    Args:
        rows: of a board, at least one.
        direction: ``higher`` or ``lower``, whichever is better.
    """
    import numpy as np

    compared = _Rows(rows)
    better, worse = np.zeros((2, len(rows)), dtype=np.int64)  # the number of rows that are better than each, or worse
    sums = np.zeros(len(rows))  # of the margins of the differences from all other rows
    blocks = np.split(np.arange(len(rows)), range(_block, len(rows), _block))
    for number, first in enumerate(blocks):
        for second in blocks[number:]:
            found = compared.compare(Pairs(first, second))
            advantage, margin = found.difference if direction == "higher" else -found.difference, found.margin()
            is_ahead, is_behind = advantage > margin, -advantage > margin
            worse[first] += is_ahead.sum(1)
            better[first] += is_behind.sum(1)
            if second is first:
                np.fill_diagonal(margin, 0)
            else:
                worse[second] += is_behind.sum(0)
                better[second] += is_ahead.sum(0)
                sums[second] += margin.sum(0)
            sums[first] += margin.sum(1)
    return 1 + better, len(rows) - worse, _comparison_margins(sums)


def _comparison_margins(sums: Floats) -> Floats:
    """Return the margins of k rows from the sums of the margins of their differences from all others, ``(k,)``."""
    import numpy as np

    rows = len(sums)
    if rows < 3:
        return sums / 2 if rows == 2 else np.full(1, math.nan)
    margins: Floats = np.maximum(0, (sums - sums.sum() / (2 * (rows - 1))) / (rows - 2))
    return margins


def compare(rows: Sequence[Measured], seeds: int | None = None, places: Sequence[int] | None = None) -> Comparison:
    """Compare rows of a board with each other.

    Args:
        rows: of the board, at least one.
        seeds: how many seeds each row with a spread is taken to have, to plan a run; None for those that it has.
        places: of the rows that are compared; None for all.
    """
    import numpy as np

    compared = np.arange(len(rows)) if places is None else np.array(places)
    return _Rows(rows, seeds).compare(Pairs(compared, compared))


class _Rows:
    """The rows of a board as arrays.

    Args:
        rows: at least one.
        seeds: how many seeds each row with a spread is taken to have; None for those that it has.
    """

    def __init__(self, rows: Sequence[Measured], seeds: int | None = None) -> None:
        import numpy as np

        def array(numbers: Sequence[float | None], missing: float = math.inf) -> Floats:
            return np.array([missing if each is None else each for each in numbers])

        self._rows = rows
        self._values = array([row.value for row in rows])
        self._example_variances = array([row.example_variance for row in rows])
        self._freedoms = array([row.degrees_of_freedom for row in rows])
        self._seeds = np.array([seeds if seeds and row.spread else len(row.by_seed) for row in rows])
        self._spread = array([row.spread for row in rows], missing=0.0)
        self._measurement_stderr = array([row.measurement_stderr for row in rows])
        numbers: dict[tuple[str, int, bytes] | None, int] = {None: 0}
        self._pairings = np.array([numbers.setdefault(row.pairing, len(numbers)) for row in rows])

    def compare(self, pairs: Pairs) -> Comparison:
        import numpy as np

        over_examples = pairs.sums(self._example_variances)
        loss = pairs.sums(self._example_variances**2 / self._freedoms)
        first_pairings, second_pairings = self._pairings[pairs.first], self._pairings[pairs.second]
        for number in np.intersect1d(first_pairings, second_pairings):
            if number:
                places = np.ix_(first_pairings == number, second_pairings == number)
                over_examples[places], loss[places] = self._paired(
                    Pairs(pairs.first[first_pairings == number], pairs.second[second_pairings == number])
                )
        return compare_values(
            self._values,
            over_examples=over_examples,
            example_freedom=_ratio(over_examples**2, loss),
            seeds=self._seeds,
            spread=self._spread,
            measurement_stderr=self._measurement_stderr,
            measurement_freedom=self._freedoms,
            pairs=pairs,
        )

    def _paired(self, pairs: Pairs) -> tuple[Floats, Floats]:
        """Return the variances of rows that are paired on the same, and their squares over their degrees of freedom."""
        import numpy as np

        def stacked(places: Integers) -> Floats:
            return np.stack([each for place in places if (each := self._rows[place].paired_values) is not None])

        kind, n, _ = self._rows[pairs.first[0]].pairing or ("", 0, b"")
        is_same = np.array_equal(pairs.first, pairs.second)
        values = stacked(pairs.first)
        others = values if is_same else stacked(pairs.second)
        found = variances_of_gaps(values, None if is_same else others)
        freedom: float | Floats = n - 1
        if kind == "groups":
            variances = np.zeros(len(self._rows))
            variances[pairs.first], variances[pairs.second] = (each.var(-1, ddof=1) for each in (values, others))
            freedom = _freedom_of_paired(variances, np.minimum(freedom, self._freedoms), pairs)
        return found, found**2 / freedom


def compare_values(
    values: Floats,
    *,
    over_examples: Floats,
    example_freedom: Floats,
    seeds: Integers,
    spread: Floats,
    measurement_stderr: Floats,
    measurement_freedom: Floats,
    pairs: Pairs | None = None,
) -> Comparison:
    """Compare rows of a board of k rows, given as arrays that may have further dimensions in front.

    The error of a measurement is part of the spread over seeds as far as it differs between seeds. So only what exceeds
    the spread is added: all of it for a row without spread, such as one timed with a single seed. Degrees of freedom
    follow Satterthwaite (1946).

    Args:
        values: means over seeds, ``(..., k)``.
        over_examples: the variances of the differences that come from the test examples, ``(..., a, b)``.
        example_freedom: their degrees of freedom, ``(..., a, b)``.
        seeds: the number of seeds of each row, ``(k,)``.
        spread: the standard deviation over seeds, ``(..., k)``; 0 for a row without.
        measurement_stderr: the standard error of one measurement, ``(..., k)``.
        measurement_freedom: its degrees of freedom, ``(..., k)``.
        pairs: the rows that are compared; None for all with all, where a = b = k.
    """
    import numpy as np

    rows = values.shape[-1]
    if pairs is None:
        pairs = Pairs(np.arange(rows), np.arange(rows))

    def without_seeds(seed_variance: Floats) -> tuple[Floats, Floats]:
        """Return the variance of each pair that ``seed_variance`` of the rows does not show.

        With it comes the sum of the squares of its parts over their degrees of freedom.
        """
        unseen = np.maximum(0, measurement_stderr**2 - seed_variance)
        loss = _ratio(over_examples**2, example_freedom, 0) + pairs.sums(unseen**2 / measurement_freedom)
        return over_examples + pairs.sums(unseen), loss

    variance, freedom = pooled_variances(spread**2, seeds - 1)
    over_seeds = pairs.sums(variance / seeds)
    rest, rest_loss = without_seeds(variance)
    total = over_seeds + rest

    own = spread**2 / seeds
    own_over_seeds = pairs.sums(own)
    own_freedom = _ratio(own_over_seeds**2, pairs.sums(_ratio(own**2, (seeds - 1).astype(float), 0)))
    rest_freedom = _ratio(rest**2, rest_loss)

    def squared_margin(quantile: Callable[[Floats], Floats], of_rest: Floats, its_freedom: Floats) -> Floats:
        found: Floats = quantile(own_freedom) ** 2 * own_over_seeds + quantile(its_freedom) ** 2 * of_rest
        return found

    knows_its_spread = (spread == 0) | (seeds > _enough)
    both_know = knows_its_spread[..., pairs.first, None] & knows_its_spread[..., None, pairs.second]
    has_own = both_know & (own_over_seeds > 0) & (rows > 2)
    of_own = np.full(has_own.shape, math.inf)
    if has_own.any():
        unshared, loss = without_seeds(spread**2)
        at_once = partial(critical_value_of_pairs, rows)
        of_own[has_own] = squared_margin(at_once, unshared, _ratio(unshared**2, loss))[has_own]
    return Comparison(
        rows,
        values[..., pairs.first, None] - values[..., None, pairs.second],
        over_examples,
        over_seeds,
        rest - over_examples,
        board_freedom=_ratio(total**2, _ratio(over_seeds**2, freedom[..., None, None], 0)),
        pair_freedom=_ratio(total**2, rest_loss),
        seed_freedom=own_freedom,
        rest_freedom=rest_freedom,
        least_margin=np.sqrt(squared_margin(critical_value_alone, rest, rest_freedom)),
        own_margin=np.sqrt(of_own),
        has_pooled_spread=((spread > 0).sum(-1) > 1)[..., None, None],
    )


def pooled_variances(variances: Floats, freedoms: Integers) -> tuple[Floats, Floats]:
    """Return variances over seeds that two or three seeds a row are enough for.

    A row's own variance is far too uncertain then. It is raised to the root mean square of all rows' variances if it
    is smaller. The root mean square exceeds the mean if rows differ, so that a row whose few seeds happen to agree is
    not taken for a certain one. Rows whose seeds agree exactly, such as closed-form fits, are left out and left alone.

    Args:
        variances: of each row, ``(..., k)``.
        freedoms: the number of seeds less one, ``(k,)``.

    Returns:
        The variances ``(..., k)``, and the degrees of freedom of the board, ``(...,)``.
    """
    import numpy as np

    weights = np.where(variances > 0, freedoms, 0)
    freedom = weights.sum(-1)
    pooled = np.sqrt(_ratio((weights * variances**2).sum(-1), freedom, 0))
    return np.where(variances > 0, np.maximum(variances, pooled[..., None]), 0), freedom


def degrees_of_freedom_of(record: Record) -> float | None:
    """Return those of a standard error; those of the spread of n values if the metric does not say."""
    if record.degrees_of_freedom is None and record.n is not None and record.n > 1:
        return record.n - 1
    return record.degrees_of_freedom


def stderr_not_over_examples(record: Record, values: Values) -> float:
    """Return the part of a standard error that per-example values do not show, such as that of shared samples."""
    n = len(values.values)
    if record.stderr is None or n < 2:
        return 0.0
    shown = float(values.values.var(ddof=1)) / n
    excess = record.stderr**2 - shown
    return math.sqrt(excess) if excess > 1e-6 * shown else 0.0


def standard_deviation(numbers: Sequence[float]) -> float:
    """Return the standard deviation of at least two finite numbers, correctly rounded.

    It is that of ``statistics.stdev``, which computes with fractions and takes five times as long for a few numbers.
    """
    ratios = [number.as_integer_ratio() for number in numbers]
    scale = max(denominator for _, denominator in ratios)  # all are powers of two
    scaled = [numerator * (scale // denominator) for numerator, denominator in ratios]
    n = len(scaled)
    squares = n * sum(each * each for each in scaled) - sum(scaled) ** 2
    divisor = n * (n - 1) * scale**2
    # A root with 109 bits, the last of which is 1 if it is not exact, is rounded to 53 bits as the exact root is.
    shift = (squares.bit_length() - divisor.bit_length() - 109) // 2
    above, below = max(0, shift), max(0, -shift)
    quotient, rest = divmod(squares << 2 * below, divisor << 2 * above)
    root = math.isqrt(quotient)
    root |= root * root != quotient or rest != 0
    return (root << above) / (1 << below)


def root_mean_square(numbers: Sequence[float]) -> float:
    """Return the root of the mean of the squares; 0 if there are no numbers."""
    return math.sqrt(fmean([each**2 for each in numbers])) if numbers else 0.0


def variances_of_gaps(values: Floats, others: Floats | None = None) -> Floats:
    """Return the variances of the mean differences between rows with paired values.

    Args:
        values: of some rows, ``(..., a, n)``.
        others: of other rows, ``(..., b, n)``; None for the same.

    Returns:
        ``(..., a, b)``; for the same rows 0 between a row and itself.
    """
    import numpy as np

    n = values.shape[-1]
    centred = values - values.mean(-1, keepdims=True)
    if others is None:
        covariances = centred @ np.swapaxes(centred, -1, -2) / (n - 1)
        own = other = np.diagonal(covariances, axis1=-2, axis2=-1)
    else:
        others_centred = others - others.mean(-1, keepdims=True)
        covariances = centred @ np.swapaxes(others_centred, -1, -2) / (n - 1)
        own, other = (np.einsum("...n,...n->...", each, each) / (n - 1) for each in (centred, others_centred))
    variances: Floats = np.maximum(0, own[..., :, None] + other[..., None, :] - 2 * covariances) / n
    return variances


def critical_value(rows: int, board_freedom: Floats, pair_freedom: Floats) -> Floats:
    """Return by how many standard errors some pair of ``rows`` equal rows differs with a probability of at most 5%.

    If all pairs share one variance with many or few degrees of freedom, this is the 95% quantile of the studentised
    range, divided by √2 (Tukey 1953, Kramer 1956). If each pair has a variance of its own, some of them are far too
    small by chance. So the value is multiplied by t_ν / t_∞, of Student's t at the level of one of all pairs
    (Bonferroni). For two rows it is the quantile of Student's t, with the degrees of freedom of Satterthwaite (1946).

    Args:
        rows: at least one.
        board_freedom: degrees of freedom of the shared variance, at least 1, of any shape.
        pair_freedom: those of the variance of each pair, of the same shape.
    """
    import numpy as np
    from scipy.special import stdtrit

    if rows <= 2:
        found: Floats = stdtrit(_freedom_of_two(board_freedom, pair_freedom), 0.5 + confidence / 2)
        return found
    board_freedom, pair_freedom = (np.clip(each, 1, _many) for each in (board_freedom, pair_freedom))
    reciprocals, of_board, of_pairs = _critical_values(rows)
    logarithms = np.interp(1 / board_freedom, reciprocals, of_board) + np.interp(
        1 / pair_freedom, reciprocals, of_pairs
    )
    values: Floats = np.exp(logarithms)
    return values


def critical_value_of_pairs(rows: int, freedom: Floats) -> Floats:
    """Return by how many of its own standard errors some pair of equal rows differs with a probability of at most 2.5%.

    It is the quantile of Student's t at the level of one of all pairs (Bonferroni).

    Args:
        rows: at least two.
        freedom: degrees of freedom of the standard error of a pair, at least 1, of any shape.
    """
    return _interpolated(_critical_values_of_pairs(rows), freedom)


@lru_cache(maxsize=256)
def _critical_values_of_pairs(rows: int) -> tuple[Floats, Floats]:
    return _quantiles_of_t(lambda freedom: _own_error_rate / (rows * (rows - 1)))


def critical_value_alone(freedom: Floats) -> Floats:
    """Return by how many standard errors two equal rows differ with a small probability, whatever others there are.

    It is the quantile of Student's t in Welch's test (1947), whose degrees of freedom are estimated. With at least four
    the probability is 5%. With fewer it is 5% · (ν / 4)², because the spread over two or three seeds, and with it ν,
    may be far off. Simulations chose this rule (``docs/statistics.md``).

    Args:
        freedom: degrees of freedom ν, at least 1, of any shape.
    """
    return _interpolated(_critical_values_alone(), freedom)


@lru_cache(maxsize=1)
def _critical_values_alone() -> tuple[Floats, Floats]:
    import numpy as np

    return _quantiles_of_t(lambda freedom: (1 - confidence) * np.minimum(1, freedom / _enough) ** 2 / 2)


def _quantiles_of_t(level: Callable[[Floats], Floats | float]) -> tuple[Floats, Floats]:
    """Return reciprocals of degrees of freedom, and for each the logarithm of the quantile of Student's t.

    Args:
        level: on one side, from the degrees of freedom.
    """
    import numpy as np
    from scipy.special import stdtrit

    reciprocals = np.linspace(0, 1, 1001)
    freedom = 1 / np.maximum(reciprocals, 1 / _many)
    return reciprocals, np.log(stdtrit(freedom, 1 - level(freedom)))


def _interpolated(table: tuple[Floats, Floats], freedom: Floats) -> Floats:
    """Return critical values from reciprocals of degrees of freedom and the logarithm of the value for each."""
    import numpy as np

    values: Floats = np.exp(np.interp(1 / np.clip(freedom, 1, _many), *table))
    return values


@lru_cache(maxsize=256)
def _critical_values(rows: int) -> tuple[Floats, Floats, Floats]:
    """Return reciprocals of degrees of freedom, and the logarithms of both factors of the critical value for each.

    The first factor is the quantile c of the studentised range / √2, whose distribution is E[W(√2 c s)]. There s² is χ²
    divided by its degrees of freedom, and W(r) = k ∫ φ(z) (Φ(z) − Φ(z − r))^(k−1) dz is the distribution of the range
    of k normal variables (Hartley 1942). The second is t_ν / t_∞. Their relative error is below 0.1%, also between the
    values of the table.
    """
    import numpy as np
    from scipy.special import gammaincinv, ndtr, stdtrit

    z, r = np.linspace(-8, 8, 201), np.linspace(0, 16, 1601)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    of_range = rows * density @ (ndtr(z)[:, None] - ndtr(z[:, None] - r)) ** (rows - 1)
    reciprocals = np.linspace(0, 1, 101) ** 2
    half = 0.5 / np.maximum(reciprocals, 1 / _many)[:, None]
    nodes, weights = np.polynomial.legendre.leggauss(200)
    scale = np.sqrt(gammaincinv(half, (nodes + 1) / 2) / half)
    low, high = np.zeros(len(reciprocals)), np.full(len(reciprocals), 200.0)
    for _ in range(40):
        middle = (low + high) / 2
        held = np.interp(math.sqrt(2) * middle[:, None] * scale, r, of_range) @ weights / 2
        low, high = np.where(held < confidence, middle, low), np.where(held < confidence, high, middle)
    of_one_pair = 1 - (1 - confidence) / (rows * (rows - 1))
    of_pairs = stdtrit(1 / np.maximum(reciprocals, 1 / _many), of_one_pair)
    return reciprocals, np.log((low + high) / 2), np.log(of_pairs / of_pairs[0])


def _freedom_of_paired(variances: Floats, freedoms: Floats, pairs: Pairs) -> Floats:
    """Return degrees of freedom of paired differences from those of the rows, ``(k,) -> (a, b)``.

    1/ν is the mean of both rows' 1/ν, weighted by their variances. So ν is that of both if they agree, and never above
    that of Satterthwaite (1946), which holds for independent rows.
    """
    return _ratio(pairs.sums(variances), pairs.sums(variances / freedoms))


def _freedom_of_two(board_freedom: Floats, pair_freedom: Floats) -> Floats:
    """Return the degrees of freedom of a single difference, from both kinds of ``Comparison``."""
    import numpy as np

    board_freedom, pair_freedom = (np.clip(each, 1, _many) for each in (board_freedom, pair_freedom))
    both: Floats = np.maximum(1, 1 / (1 / board_freedom + 1 / pair_freedom))
    return both


def _ratio(a: Floats, b: Floats, otherwise: float = math.inf) -> Floats:
    """Return a / b, or ``otherwise`` where b is 0."""
    import numpy as np

    a, b = np.broadcast_arrays(a, b)
    ratio: Floats = np.divide(a, b, out=np.full(a.shape, float(otherwise)), where=b > 0)
    return ratio
