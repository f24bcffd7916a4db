"""Axes: ticks at round numbers, and where values are between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_many_times = 50  # the largest value over the smallest, from which an axis is logarithmic
_suffixes = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Axis:
    """An axis from its first tick to its last.

    Args:
        ticks: at equal distances, at least two.
        is_logarithmic: whether equal distances are equal factors.
    """

    ticks: tuple[float, ...]
    is_logarithmic: bool = False

    def share(self, value: float) -> float:
        """Return where a value is: 0 at the first tick, 1 at the last; values beyond are moved to the nearest end."""
        low, high = self._scaled(self.ticks[0]), self._scaled(self.ticks[-1])
        inside = min(max(value, self.ticks[0]), self.ticks[-1])
        return (self._scaled(inside) - low) / (high - low)

    def _scaled(self, value: float) -> float:
        return math.log10(value) if self.is_logarithmic else value

    @property
    def labels(self) -> list[str]:
        """The ticks as text."""
        gaps = [abs(after - before) for before, after in zip(self.ticks, self.ticks[1:], strict=False)]
        return [_label(tick, tick if self.is_logarithmic else min(gaps)) for tick in self.ticks]


def axis_for(values: Sequence[float], most: int = 4) -> Axis | None:
    """Return an axis that shows all values, with at most ``most`` + 1 ticks; None if there are no values.

    It is logarithmic if all values are positive and the largest is many times the smallest.
    """
    if not values:
        return None
    low, high = min(values), max(values)
    if low > 0 and high / low >= _many_times:
        return _logarithmic(low, high, most)
    if low == high:
        around = abs(low) / 10 or 1.0
        low, high = low - around, high + around
    return _linear(low, high, most)


def _linear(low: float, high: float, most: int) -> Axis:
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    # The smallest of these steps that needs at most ``most`` of them; 20 and 50 are for ends that are rounded outwards.
    for factor in (1, 2, 2.5, 5, 10, 20, 50):
        step = power * factor
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if 0 < last - first <= most:
            break
    return Axis(tuple(float(f"{number * step:.12g}") for number in range(first, last + 1)))


def _logarithmic(low: float, high: float, most: int) -> Axis:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    step = math.ceil((last - first) / most)
    last = first + step * math.ceil((last - first) / step)
    return Axis(tuple(10.0**power for power in range(first, last + 1, step)), is_logarithmic=True)


def _label(value: float, precision: float) -> str:
    """Write a tick in few characters, with the digits that ``precision`` needs."""
    if value == 0:
        return "0"
    unit, suffix = next(((unit, suffix) for unit, suffix in _suffixes if abs(value) >= 10 * unit), (1.0, ""))
    if abs(value) < 1e-4:
        return f"{value:.0e}".replace("e-0", "e-").replace("-", "−")
    digits = max(0, -math.floor(math.log10(precision / unit) + 1e-9))
    text = f"{value / unit:.{digits}f}"
    if digits and math.isclose(precision / unit * 10**digits % 1, 0.5, abs_tol=1e-6):  # steps of 2.5
        text = f"{value / unit:.{digits + 1}f}"
    return text.replace("-", "−") + suffix
