"""The series of a history: each speed, metric and count over time, and where it changed.

The base was run beside the head in each comparison, so ratios and differences of several nights can be compared, but
seconds cannot.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.registry import own_distribution
from harness.regression.changes import find_shifts
from harness.regression.findings import Finding, Kind, kinds
from harness.regression.history import Entry


@dataclass(frozen=True)
class Point:
    """A value of a series.

    Args:
        entry: the comparison.
        value: the ratio of a speed, the difference of a metric, or the count of the head.
        low: the lower end of its 95% interval; None if it is not known.
        high: its upper end.
    """

    entry: Entry
    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Change:
    """A change between two neighbouring points of a series.

    Args:
        before: the last point before it.
        after: the first point after it.
        size: the difference of a metric or a count, the ratio of a speed.
        low: the lower end of the 95% interval of ``size``.
        high: its upper end.
        p_value: None for a count, which is exact.
    """

    before: Point
    after: Point
    size: float
    low: float
    high: float
    p_value: float | None = None

    @property
    def is_of_one_commit(self) -> bool:
        """Whether both points are of the same files, so that these are not the cause."""
        before, after = self.before.entry.head, self.after.entry.head
        return before.commit is not None and before.commit == after.commit and not (before.dirty or after.dirty)

    @property
    def environment(self) -> list[str]:
        """What else changed: the software and the machine, each in words."""
        before, after = (_flat(point.entry.environment) for point in (self.before, self.after))
        # The version of harness itself is that of the base or of the head.
        others = [name for name in before if name in after and name != own_distribution]
        names = [name for name in others if before[name] != after[name]]
        return [f"{name} {before[name]} → {after[name]}" for name in names]


@dataclass(frozen=True)
class Series:
    """The values of a benchmark, a cell or a count over time.

    Args:
        finding: the newest one; its name, kind, unit and direction are those of the series.
        points: in order of time; at least one.
        changes: in order of time.
    """

    finding: Finding
    points: Sequence[Point]
    changes: Sequence[Change] = ()


@dataclass(frozen=True)
class Group:
    """The comparisons with one base under one set of conditions.

    Args:
        entries: in order of time; at least one.
        series: those with the newest changes first.
    """

    entries: Sequence[Entry]
    series: Sequence[Series]

    @property
    def newest(self) -> Entry:
        """The newest entry."""
        return self.entries[-1]


def groups_of(entries: Sequence[Entry]) -> list[Group]:
    """Return the series of each base under each set of conditions, with their changes; the newest base first."""
    together: dict[str, list[Entry]] = {}
    for entry in entries:
        base = [entry.base.name, entry.base.commit, entry.base.dirty]
        together.setdefault(json.dumps([base, entry.conditions], sort_keys=True), []).append(entry)
    found = [Group(each, _with_changes(_series_of(each))) for each in together.values()]
    return sorted(found, key=lambda group: group.newest.date, reverse=True)


def _series_of(entries: Iterable[Entry]) -> list[Series]:
    findings: dict[tuple[Kind, str], Finding] = {}
    points: dict[tuple[Kind, str], list[Point]] = {}
    for entry in entries:
        for finding in entry.findings:
            point = _point_of(entry, finding)
            if point is not None:
                findings[finding.kind, finding.name] = finding
                points.setdefault((finding.kind, finding.name), []).append(point)
    return [Series(finding, points[key]) for key, finding in findings.items()]


def _point_of(entry: Entry, finding: Finding) -> Point | None:
    if finding.kind == "count":
        return None if finding.head is None else Point(entry, finding.head, finding.head, finding.head)
    value = finding.ratio if finding.kind == "speed" else finding.difference
    return None if value is None else Point(entry, value, finding.low, finding.high)


def _with_changes(series: Sequence[Series]) -> list[Series]:
    """Return series with their changes, those with the newest changes first."""
    noisy = [each for each in series if each.finding.kind != "count"]
    found = dict(zip(map(id, noisy), _changes(noisy), strict=True))
    changed = [dataclasses.replace(each, changes=found.get(id(each)) or _changes_of_count(each)) for each in series]
    changed.sort(key=lambda each: kinds.index(each.finding.kind))
    return sorted(changed, key=lambda each: each.changes[-1].after.entry.date if each.changes else "", reverse=True)


def _changes_of_count(series: Series) -> list[Change]:
    if series.finding.kind != "count":
        return []
    found = []
    for before, after in itertools.pairwise(series.points):
        size = after.value - before.value
        if size:
            found.append(Change(before, after, size, size, size))
    return found


def _changes(series: Sequence[Series]) -> list[list[Change]]:
    """Return the changes of speeds and metrics.

    Speeds are analysed as log ratios; their errors may resemble those of the night before. A metric has the same seeds
    and test examples every night, so nights of the same code repeat the same error, and many nights do not make it
    smaller. A change of a metric must therefore exceed the intervals of single comparisons as well.
    """
    import numpy as np

    kept: list[list[Point]] = []
    values, margins = [], []
    for each in series:
        is_speed = each.finding.kind == "speed"
        known = [point for point in each.points if is_speed or (point.low is not None and point.high is not None)]
        kept.append(known)
        values.append(np.array([math.log(point.value) if is_speed else point.value for point in known]))
        widths = [(point.high - point.low) / 2 for point in known if point.high is not None and point.low is not None]
        margins.append(None if is_speed else np.array(widths))
    found = []
    for each, points, shifts in zip(series, kept, find_shifts(values, margins), strict=True):
        changes = []
        for shift in shifts:
            ends = [shift.size, shift.low, shift.high]
            size, low, high = (math.exp(end) for end in ends) if each.finding.kind == "speed" else ends
            changes.append(Change(points[shift.place - 1], points[shift.place], size, low, high, shift.p_value))
        found.append(changes)
    return found


def _flat(environment: Mapping[str, Any]) -> dict[str, Any]:
    """Return an environment without nesting."""
    found: dict[str, Any] = {}
    for name, value in environment.items():
        found |= value if isinstance(value, dict) else {name: value}
    return found
