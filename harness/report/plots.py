"""The geometry of plots: intervals beside the rows of a board, quality against cost, and curves of training.

Charts are drawn on a canvas of ``width`` × ``height`` pixels, with room for axes on the left and at the bottom. The
templates write the SVG.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from harness.contracts.boards import Board, Row
from harness.leaderboard.text import decimals, number
from harness.report.axes import Axis, axis_for

width, height = 310, 225
left, right, top, bottom = 46, 12, 10, 40
colours = 8  # of lines that can be told apart; more lines are grey
_points = 32  # of a line at most, after those are left out that do not show
_tolerance = 0.5  # pixels, by which a line may be off
_labels = 6  # of points in one chart
_character = 6.2  # pixels, of a label


@dataclass(frozen=True)
class Interval:
    """A value on the axis of its board: positions in percent, and the interval in words."""

    dot: str
    line: tuple[str, str] | None
    seeds: tuple[str, ...]
    words: str


@dataclass(frozen=True)
class Intervals:
    """The values of a board with their comparison intervals, by the index of the row."""

    axis: Axis
    rows: dict[int, Interval]

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """Position in percent and label of each tick."""
        return [
            (_short(100 * self.axis.share(tick)), label)
            for tick, label in zip(self.axis.ticks, self.axis.labels, strict=True)
        ]


def intervals(board: Board) -> Intervals | None:
    """Return the values of a board with their comparison intervals on one axis; None if no row has a value."""
    rows = [row for row in board.rows if row.value is not None]
    axis = axis_of_values([(row.value or 0.0, row.comparison_margin) for row in rows], _of_seeds(rows))
    if axis is None:
        return None
    return Intervals(
        axis, {index: _interval(row, axis) for index, row in enumerate(board.rows) if row.value is not None}
    )


def _of_seeds(rows: Sequence[Row]) -> list[float]:
    return [value for row in rows for value in row.by_seed.values()]


def axis_of_values(values: Sequence[tuple[float, float | None]], others: Sequence[float] = ()) -> Axis | None:
    """Return an axis that shows values with their intervals; None if there are no values.

    Values that are never negative, such as shares and distances, have no part of the axis below 0: intervals end there.
    An interval down to 0 does not keep an axis from being logarithmic.

    Args:
        values: each with half the width of its interval, or None.
        others: single values without an interval.
    """
    known = [value for value, _ in values] + list(others)
    ends = [value + sign * (half or 0.0) for value, half in values for sign in (-1, 1)] + list(others)
    if known and min(known) >= 0:
        of_values = axis_for(known)
        is_logarithmic = of_values is not None and of_values.is_logarithmic
        ends = [end for end in ends if end > 0] if is_logarithmic else [max(0.0, end) for end in ends]
    return axis_for(ends)


def _interval(row: Row, axis: Axis) -> Interval:
    assert row.value is not None
    half = row.comparison_margin
    digits = decimals(row.value, row.stderr_over_all)
    line, words = None, number(row.value, digits)
    if half:
        line = _short(100 * axis.share(row.value - half)), _short(100 * axis.share(row.value + half))
        words = f"{number(row.value - half, digits)} to {number(row.value + half, digits)}"
    seeds = tuple(_short(100 * axis.share(value)) for value in row.by_seed.values()) if row.seeds > 1 else ()
    return Interval(_short(100 * axis.share(row.value)), line, seeds, words)


@dataclass(frozen=True)
class Point:
    """A model in a chart of quality against cost, in pixels; ``words`` are its cost and its quality."""

    name: str
    words: str
    x: str
    y: str
    error: tuple[str, str] | None
    on_front: bool
    label: tuple[str, str, str] | None = None


@dataclass(frozen=True)
class Ticks:
    """Ticks of a chart: position in pixels, and label."""

    x: list[tuple[str, str]]
    y: list[tuple[str, str]]


@dataclass(frozen=True)
class TradeOff:
    """Quality against cost, with the Pareto front."""

    quality: str
    cost: str
    points: tuple[Point, ...]
    front: str
    ticks: Ticks

    @property
    def on_front(self) -> list[str]:
        """The models on the Pareto front, cheapest first."""
        return [point.name for point in self.points if point.on_front]


@dataclass(frozen=True)
class Costed:
    """A model with its quality and its cost; ``margin`` is half the width of its comparison interval, or None."""

    name: str
    quality: float
    margin: float | None
    cost: float


def pareto_front(models: Sequence[Costed], quality: str, cost: str) -> list[Costed]:
    """Return the models that no other one beats: none is at least as good in both and better in one, by the values.

    Args:
        models: in any order.
        quality: ``higher`` or ``lower``, whichever is better.
        cost: the same of the cost.

    Returns:
        The models in the order of cost, the cheapest first.
    """
    signs = (1 if quality == "higher" else -1), (1 if cost == "higher" else -1)
    best: list[Costed] = []
    for model in sorted(models, key=lambda each: (-signs[1] * each.cost, -signs[0] * each.quality)):
        better = not best or signs[0] * model.quality > signs[0] * best[-1].quality
        if better or (model.cost, model.quality) == (best[-1].cost, best[-1].quality):
            best.append(model)
    return best


def trade_off(models: Sequence[Costed], quality: tuple[str, str], cost: tuple[str, str]) -> TradeOff | None:
    """Return the chart of quality against cost; None if fewer than two models have both.

    Args:
        models: that have both.
        quality: the title of the axis, and which values are better.
        cost: the same of the cost.
    """
    if len(models) < 2:
        return None
    front = pareto_front(models, quality[1], cost[1])
    x_axis = axis_for([each.cost for each in models])
    y_axis = axis_of_values([(each.quality, each.margin) for each in models])
    assert x_axis is not None
    assert y_axis is not None
    placed = [(model, _x(x_axis.share(model.cost)), _y(y_axis.share(model.quality))) for model in models]
    labels = _labels_of([(model.name, x, y) for model, x, y in placed if model in front])
    order = {id(model): place for place, model in enumerate(front)}
    placed.sort(key=lambda each: order.get(id(each[0]), len(front)))
    points = tuple(
        Point(
            model.name,
            f"{_number(model.cost)}, {_number(model.quality)}",
            _short(x),
            _short(y),
            (
                _short(_y(y_axis.share(model.quality - model.margin))),
                _short(_y(y_axis.share(model.quality + model.margin))),
            )
            if model.margin
            else None,
            id(model) in order,
            labels.get(model.name) if id(model) in order else None,
        )
        for model, x, y in placed
    )
    corners = [(_x(x_axis.share(model.cost)), _y(y_axis.share(model.quality))) for model in front]
    steps = "".join(f"H{_short(x)}V{_short(y)}" for x, y in corners[1:])
    start = f"M{_short(corners[0][0])} {_short(corners[0][1])}"
    return TradeOff(quality[0], cost[0], points, start + steps if steps else "", _ticks(x_axis, y_axis))


def _labels_of(points: Iterable[tuple[str, float, float]]) -> dict[str, tuple[str, str, str]]:
    """Place names beside their points, where they hide no other name; return x, y and the text anchor of each."""
    taken: list[tuple[float, float, float, float]] = []
    found: dict[str, tuple[str, str, str]] = {}
    for name, x, y in points:
        size = _character * len(name)
        for anchor, at, start in (("start", x + 7, x + 7), ("end", x - 7, x - 7 - size)):
            box = (start, y - 8, start + size, y + 6)
            inside = start >= left and start + size <= width
            free = all(
                box[2] < other[0] or other[2] < box[0] or box[3] < other[1] or other[3] < box[1] for other in taken
            )
            if inside and free and len(found) < _labels:
                taken.append(box)
                found[name] = _short(at), _short(y + 4), anchor
                break
    return found


@dataclass(frozen=True)
class Line:
    """A curve as the path of an SVG, in tenths of pixels, with the number of its colour."""

    name: str
    path: str
    colour: int
    is_dashed: bool = False


@dataclass(frozen=True)
class Chart:
    """Curves of one loss against the seconds of training."""

    title: str
    lines: tuple[Line, ...]
    ticks: Ticks


@dataclass(frozen=True)
class Curve:
    """A loss by epoch, and the seconds that each epoch took."""

    name: str
    seconds: Sequence[float]
    losses: Sequence[float | None]
    colour: int
    is_dashed: bool = False

    @property
    def points(self) -> list[tuple[float, float]]:
        """Seconds since the start and loss, without the epochs whose loss is not finite."""
        pairs = zip(accumulate(self.seconds), self.losses, strict=False)
        return [(seconds, loss) for seconds, loss in pairs if loss is not None and math.isfinite(loss)]


def chart(title: str, curves: Sequence[Curve]) -> Chart | None:
    """Return the chart of curves against seconds; None if no curve has two points. Curves of one name are one line."""
    drawn = [(curve, points) for curve in curves if len(points := curve.points) > 1]
    if not drawn:
        return None
    x_axis = axis_for([0.0, *(seconds for _, points in drawn for seconds, _ in points)])
    y_axis = axis_for([loss for _, points in drawn for _, loss in points])
    assert x_axis is not None
    assert y_axis is not None
    lines: dict[str, Line] = {}
    for curve, points in drawn:
        places = simplified([(_x(x_axis.share(x)), _y(y_axis.share(y))) for x, y in points])
        at = [(round(10 * x), round(10 * y)) for x, y in places]
        moves = [(b[0] - a[0], b[1] - a[1]) for a, b in pairwise(at)]
        path = f"M{at[0][0]} {at[0][1]}l" + " ".join(f"{x} {y}" for x, y in moves).replace(" -", "-")
        before = lines[curve.name].path if curve.name in lines else ""
        lines[curve.name] = Line(curve.name, before + path, curve.colour, curve.is_dashed)
    return Chart(title, tuple(lines.values()), _ticks(x_axis, y_axis))


def simplified(line: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """Return a line with few of its points, by the algorithm of Douglas and Peucker (1973).

    It keeps the ends and whatever is further from the rest than half a pixel, or further if that is too many points.

    Args:
        line: the points, in pixels.
    """
    tolerance = _tolerance
    while len(kept := _without_straight_parts(line, tolerance)) > _points:
        tolerance *= 1.5
    return kept


def _without_straight_parts(line: Sequence[tuple[float, float]], tolerance: float) -> list[tuple[float, float]]:
    kept = {0, len(line) - 1}
    parts = [(0, len(line) - 1)]
    while parts:
        first, last = parts.pop()
        (x, y), (to_x, to_y) = line[first], line[last]
        length = math.hypot(to_x - x, to_y - y) or 1.0
        distances = (
            (abs((to_x - x) * (line[place][1] - y) - (to_y - y) * (line[place][0] - x)) / length, place)
            for place in range(first + 1, last)
        )
        furthest, place = max(distances, default=(0.0, 0))
        if furthest > tolerance:
            kept.add(place)
            parts += [(first, place), (place, last)]
    return [line[place] for place in sorted(kept)]


def _ticks(x_axis: Axis, y_axis: Axis) -> Ticks:
    return Ticks(
        [(_short(_x(x_axis.share(tick))), label) for tick, label in zip(x_axis.ticks, x_axis.labels, strict=True)],
        [(_short(_y(y_axis.share(tick))), label) for tick, label in zip(y_axis.ticks, y_axis.labels, strict=True)],
    )


def _x(share: float) -> float:
    return left + share * (width - left - right)


def _y(share: float) -> float:
    return height - bottom - share * (height - top - bottom)


def _number(value: float) -> str:
    return number(value, decimals(value))


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
