"""Names of points in a chart: beside their points where there is room, or else numbers with a legend."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import dist, hypot

from harness.contracts.boards import Row

_character = 6.0  # pixels
_above, _below = 9, 3  # pixels of a text, from its base line
_gaps = (7, 12)  # pixels, between a point and its label
_radius = 4.5  # pixels, of a point
_farther = 1  # pixels, that every other point is farther from a label than its own
_cluster = 12  # pixels, between points that are too near for a number each


@dataclass(frozen=True)
class Label:
    """A text in a chart: its base line in pixels, and how it is aligned: ``start``, ``middle`` or ``end``."""

    text: str
    x: int
    y: int
    anchor: str

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The left, upper, right and lower end, in pixels."""
        size = _character * len(self.text)
        start = self.x - size * {"start": 0.0, "middle": 0.5, "end": 1.0}[self.anchor]
        return start, self.y - _above, start + size, self.y + _below

    def distance(self, point: tuple[float, float]) -> float:
        """Return the distance of a point from the text, in pixels; 0 within."""
        low_x, low_y, high_x, high_y = self.box
        x, y = point
        return hypot(max(low_x - x, 0, x - high_x), max(low_y - y, 0, y - high_y))


@dataclass(frozen=True)
class Labels:
    """The labels of a chart, and the names that its numbers stand for."""

    labels: tuple[Label, ...]
    legend: tuple[tuple[int, str], ...]


def short_names(rows: Sequence[Row]) -> list[str]:
    """Name rows by their model, and by the settings in which rows of the same model differ."""
    words: dict[str, list[set[str]]] = defaultdict(list)
    for row in rows:
        words[row.title or row.model].append(set(row.label.split()))
    common = {head: set.intersection(*those) for head, those in words.items()}
    return [
        " ".join([head, *(word for word in row.label.split() if word not in common[head])])
        for row in rows
        for head in [row.title or row.model]
    ]


def labels_of(
    names: Sequence[str], points: Sequence[tuple[float, float]], room: tuple[float, float, float, float]
) -> Labels:
    """Name every point: beside it where its name hides nothing and no other point is as near, or else by a number.

    Points that nearly coincide share a number. A number for which there is no room is on its point.

    Args:
        names: of the points.
        points: x and y, in pixels; those at the front of the list are named first.
        room: the left, upper, right and lower end of what labels may cover.
    """
    placed: dict[int, Label] = {}
    for index, name in enumerate(names):
        found = _free(name, [index], points, list(placed.values()), room)
        if found is not None:
            placed[index] = found
    clusters: list[list[int]] = []
    for index, point in enumerate(points):
        if index in placed:
            continue
        for cluster in clusters:
            if dist(points[cluster[0]], point) < _cluster:
                cluster.append(index)
                break
        else:
            clusters.append([index])
    labels = list(placed.values())
    for number, cluster in enumerate(clusters, start=1):
        x, y = points[cluster[0]]
        labels.append(
            _free(str(number), cluster, points, labels, room) or Label(str(number), round(x), round(y) + 4, "middle")
        )
    legend = [(number, names[index]) for number, cluster in enumerate(clusters, start=1) for index in cluster]
    return Labels(tuple(labels), tuple(legend))


def _free(
    text: str,
    own: Sequence[int],
    points: Sequence[tuple[float, float]],
    labels: Sequence[Label],
    room: tuple[float, float, float, float],
) -> Label | None:
    """Return the first label around one of its own points that hides nothing; None if there is none."""
    others = [point for index, point in enumerate(points) if index not in own]
    for gap, index in product(_gaps, own):
        for label in _around(text, points[index], gap):
            box = label.box
            nearest = min(label.distance(points[each]) for each in own)
            if (
                box[0] >= room[0]
                and box[1] >= room[1]
                and box[2] <= room[2]
                and box[3] <= room[3]
                and nearest > _radius
                and all(label.distance(other) > nearest + _farther for other in others)
                and not any(_overlap(box, other.box) for other in labels)
            ):
                return label
    return None


def _around(text: str, point: tuple[float, float], gap: int) -> list[Label]:
    x, y = round(point[0]), round(point[1])
    aside, middle = gap - 2, 4  # for a diagonal, and from the middle of a text to its base line
    return [
        Label(text, x + gap, y + middle, "start"),
        Label(text, x - gap, y + middle, "end"),
        Label(text, x, y - gap - _below + 1, "middle"),
        Label(text, x, y + gap + _above, "middle"),
        Label(text, x + aside, y - aside, "start"),
        Label(text, x - aside, y - aside, "end"),
        Label(text, x + aside, y + aside + _above, "start"),
        Label(text, x - aside, y + aside + _above, "end"),
    ]


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]
