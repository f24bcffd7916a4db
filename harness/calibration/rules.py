"""What the values of a metric must show over the points of a check: values near a target, and shapes of a curve.

The rules and their tolerances are those of Räisä, van Breugel and van der Schaar (2025, arXiv:2505.22450).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Curve = Mapping[float, float]  # the value of a metric at each point of a check
Verdict = Literal["pass", "fail", "low", "high"]  # "low" and "high" are passes, in one of two accepted ways

_near, _level, _step = 0.05, 0.1, 0.2  # tolerance of a value, of an extreme, and the least fall between two extremes


class Rule(Protocol):
    """A rule that a curve keeps or breaks."""

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""


@dataclass(frozen=True)
class Near:
    """The value at a point is within 0.05 of a target."""

    at: float
    target: float

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        return _verdict(self.target - _near <= curve[self.at] <= self.target + _near)


@dataclass(frozen=True)
class Within:
    """The value at each point is within 5% of a target."""

    targets: Curve

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        return _verdict(all(abs(curve[at] - target) <= _near * abs(target) for at, target in self.targets.items()))


@dataclass(frozen=True)
class Flat:
    """All values are within 0.05 of each other."""

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        return _verdict(max(curve.values()) - min(curve.values()) <= _near)


@dataclass(frozen=True)
class Falls:
    """The first value is the highest and at least 0.2 above the last, which is the lowest; both to within 0.1.

    With ``by``, the value at that point is at least 0.1 below the first.
    """

    by: float | None = None

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        first, last = curve[min(curve)], curve[max(curve)]
        falls = (
            first - last >= _step
            and max(curve.values()) - first <= _level
            and last - min(curve.values()) <= _level
            and (self.by is None or first - curve[self.by] >= _level)
        )
        return _verdict(falls)


@dataclass(frozen=True)
class Rises:
    """The curve falls if it is read from its last point to its first."""

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        return Falls()({-point: value for point, value in curve.items()})


@dataclass(frozen=True)
class Peaks:
    """The value at a point is at least 0.2 above both ends, and the highest to within 0.1.

    One of the ends is the lowest to within 0.1.
    """

    at: float

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        top, ends = curve[self.at], (curve[min(curve)], curve[max(curve)])
        peaks = (
            top - max(ends) >= _step
            and max(curve.values()) - top <= _level
            and min(ends) - min(curve.values()) <= _level
        )
        return _verdict(peaks)


@dataclass(frozen=True)
class Proportional:
    """The value is 1 − p times the value at 0, to within 0.05, at each point p from 0 to 1."""

    def __call__(self, curve: Curve) -> Verdict:
        """Return whether the curve keeps the rule."""
        return _verdict(all(abs(value - (1 - point) * curve[0]) <= _near for point, value in curve.items()))


@dataclass(frozen=True)
class Either:
    """One of two rules; which of them is the metric's convention, and must be the same throughout a check."""

    low: Rule
    high: Rule

    def __call__(self, curve: Curve) -> Verdict:
        """Return which of the rules the curve keeps, or that it keeps neither."""
        if self.low(curve) == "pass":
            return "low"
        return "high" if self.high(curve) == "pass" else "fail"


def _verdict(kept: bool) -> Verdict:
    return "pass" if kept else "fail"
