"""Whether metrics became worse from one version to another, beyond what seeds and test examples explain.

A seed has the same random streams in both versions, and the test examples are the same. So the difference of two
versions is paired over both. ``python -m tests.simulations.quality_gate`` measures how often a worse loss is found.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING

from harness.contracts.events import Record, Values, failed
from harness.errors import StoreError
from harness.regression.cells import Match, SeedRecords, by_cell, match, unique_names
from harness.regression.condensed import Condensed, condense
from harness.regression.findings import Finding, Verdict, false_alarm_rate, holm
from harness.results.comparison import (
    Comparison,
    Measured,
    compare,
    degrees_of_freedom_of,
    root_mean_square,
    stderr_not_over_examples,
)
from harness.words import counted

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

default_tolerance = 0.01  # of the value of the base
_reversed = 0.05  # of the value of the base, which a value of the opposite sign may be off
_time_was_up = "time was up"
_few = 5  # significant digits of a number in a reason


@dataclass(frozen=True)
class Side:
    """One of two versions: its records, and their per-example values.

    Args:
        records: as ``Store.records`` or a baseline has them.
        values: returns the per-example values of a record, whole or condensed, or None if there are none; may raise
            ``StoreError``.
        unfinished: the models and metrics of a run that was interrupted because time was up.
    """

    records: Sequence[Record]
    values: Callable[[Record], Values | Condensed | None]
    unfinished: Collection[tuple[str, str]] = ()

    def could_have(self, cell: SeedRecords) -> bool:
        """Whether a cell could be there if there had been more time."""
        return (cell.first.model["name"], cell.first.metric["name"]) in self.unfinished


@dataclass(frozen=True)
class Pair:
    """The records of a seed in both versions, which both have a value."""

    base: Record
    head: Record

    @property
    def old(self) -> float:
        """The value of the base."""
        assert self.base.value is not None
        return self.base.value

    @property
    def new(self) -> float:
        """The value of the head."""
        assert self.head.value is not None
        return self.head.value

    @property
    def difference(self) -> float:
        """Head − base."""
        return self.new - self.old

    @property
    def stderr(self) -> float | None:
        """The standard error of the difference as if test examples were not shared; None if it is not known."""
        if self.base.stderr is None or self.head.stderr is None:
            return None
        return math.hypot(self.base.stderr, self.head.stderr)

    @property
    def degrees_of_freedom(self) -> float | None:
        """The lower ones of both standard errors; None if they have many."""
        known = [found for each in (self.base, self.head) if (found := degrees_of_freedom_of(each)) is not None]
        return min(known, default=None)


@dataclass(frozen=True)
class Judged:
    """A cell that both versions have: what is known before all cells are judged together.

    Args:
        finding: without a verdict that rests on statistics, unless it is ``decided``.
        decided: whether the verdict stands, whatever the statistics say.
        could_differ: whether the cell counts among those that could have been found worse by chance.
        worse_p: the p-value of the hypothesis that the head is not worse by more than the tolerance.
        improvement: of the head, in the unit of the metric; None if neither higher nor lower values are better.
        margin: half the width of the 95% interval of the difference; None if it is not known.
        biased: which versions have an error that is known to favour the model.
        no_longer_fails: what to say about seeds that failed in the base only; empty if there are none.
    """

    finding: Finding
    decided: bool = True
    could_differ: bool = False
    worse_p: float = 1.0
    improvement: float | None = None
    margin: float | None = None
    biased: tuple[str, ...] = ()
    no_longer_fails: str = ""


def compare_quality(
    base: Side,
    head: Side,
    tolerances: Mapping[str, float],
    note: Callable[[str], None] = lambda line: None,
) -> list[Finding]:
    """Compare the values of all metrics of two versions.

    Cells are matched by what was asked for, whatever the versions of model, metric and data set are. If no cell is
    worse in truth, the probability that any is found ``worse`` is at most 1% (Holm 1979). Cells that are equal to the
    last digit do not count among those that share this probability, so that a change of one model is found as well
    among many cells. Timings are left out: stored ones were not taken in turn.

    Args:
        base: the version that is compared with.
        head: the version that is judged.
        tolerances: how much worse a value may become, by the name of the metric, in its unit; one percent of the value
            of the base for metrics that are not named.
        note: receives lines about what was left out.

    Returns:
        One finding for each cell of the base, over all of its seeds, and one for what it had no time for.
    """
    old = by_cell(base.records, lambda line: note(f"BASE: {line}"))
    new = by_cell(head.records, lambda line: note(f"HEAD: {line}"))
    matches, added = match(old, new)
    if added:
        note(f"{counted(len(added), 'cell')} only in HEAD")
    judged = [
        _judged(name, each, base, head, tolerances) for name, each in zip(unique_names(old), matches, strict=True)
    ]
    tested = [number for number, each in enumerate(judged) if not each.decided]
    hypotheses = sum(each.could_differ for each in judged)
    rejected = holm([judged[number].worse_p for number in tested], false_alarm_rate, hypotheses)
    is_worse = dict(zip(tested, rejected, strict=True))
    found = [
        each.finding if each.decided else _with_verdict(each, is_worse[number], hypotheses)
        for number, each in enumerate(judged)
    ]
    return found + [
        Finding(name, "quality", "inconclusive", reason=_time_was_up) for name in _without_time(base, old, added)
    ]


def _without_time(base: Side, cells: Sequence[SeedRecords], added: Sequence[SeedRecords]) -> list[str]:
    """Return the names of what the base had no time for: cells that only the head has, and else models and metrics."""
    late = [cell for cell in added if base.could_have(cell)]
    known = {(cell.first.model["name"], cell.first.metric["name"]) for cell in [*cells, *late]}
    never = [f"{metric} of {model}" for model, metric in base.unfinished if (model, metric) not in known]
    return [*unique_names(late), *never]


def _judged(name: str, found: Match, base: Side, head: Side, tolerances: Mapping[str, float]) -> Judged:
    """Return what is known about a cell of the base before all cells are judged together."""
    old, new = found.base.by_seed, found.head.by_seed if found.head else {}
    values = [record.value for record in old.values() if record.value is not None and _has_value(record)]
    before = found.base.first
    finding = Finding(
        name,
        "quality",
        "inconclusive",
        base=fmean(values) if values else None,
        unit=before.unit,
        direction=before.direction,
    )
    if found.head is None:
        if head.could_have(found.base):
            return Judged(replace(finding, reason=_time_was_up))
        if values:
            return Judged(replace(finding, verdict="missing", reason="HEAD has no such cell"))
        return Judged(replace(finding, reason=f"HEAD has no such cell; in BASE it had no value: {_outcome(before)}"))
    if found.differences.asked_for:
        return Judged(replace(finding, reason=f"not compared: {', '.join(found.differences.asked_for)}"))
    for kind in ("metric", "dataset"):
        versions = [getattr(each.first, kind)["version"] for each in (found.base, found.head)]
        if versions[0] != versions[1]:
            what = f"{kind.replace('dataset', 'data set')} {getattr(before, kind)['name']}"
            reason = f"not compared: {what} has version {versions[0]} in BASE, {versions[1]} in HEAD"
            return Judged(replace(finding, reason=reason))
    shared = sorted({*old} & {*new})
    if not shared:
        return Judged(replace(finding, reason="no seed is in both"))
    newly = [seed for seed in shared if _fails_newly(old[seed], new[seed])]
    pairs = {seed: Pair(old[seed], new[seed]) for seed in shared if _has_value(old[seed]) and _has_value(new[seed])}
    if pairs:
        base_mean, head_mean = (fmean(getattr(pair, side) for pair in pairs.values()) for side in ("old", "new"))
        difference = fmean(pair.difference for pair in pairs.values())
        finding = replace(finding, base=base_mean, head=head_mean, difference=difference)
    if newly:
        which = f"seed {', '.join(map(str, newly))}: " if len(newly) < len(shared) else ""
        return Judged(replace(finding, verdict="newly failing", reason=which + _outcome(new[newly[0]])))
    mended = [seed for seed in shared if not _has_value(old[seed]) and _has_value(new[seed])]
    if not pairs:
        return Judged(_without_pairs(finding, [old[seed] for seed in shared], [new[seed] for seed in shared], mended))
    notes = [*found.differences.of_defaults, *_seeds_left_out(old, new, list(pairs), mended)]
    changed_field = _incomparable(list(pairs.values()))
    if changed_field is not None:
        return Judged(replace(finding, reason=f"not compared: {changed_field}"))
    assert finding.base is not None
    tolerance = tolerances.get(before.metric["name"], default_tolerance * abs(finding.base))
    judged = _compared(replace(finding, tolerance=tolerance), pairs, base, head, notes)
    if not mended:
        return judged
    words = f"seed {', '.join(map(str, mended))} no longer fails"
    if not judged.decided:
        return replace(judged, no_longer_fails=words)
    verdict: Verdict = "better" if judged.finding.verdict == "same" else judged.finding.verdict
    finding = replace(judged.finding, verdict=verdict, reason=_joined([words, judged.finding.reason or ""]))
    return replace(judged, finding=finding)


def _has_value(record: Record) -> bool:
    return record.status == "ok" and record.value is not None


def _outcome(record: Record) -> str:
    return f"{record.status}, {record.reason}" if record.reason else record.status


def _fails_newly(old: Record, new: Record) -> bool:
    """Whether a seed has lost its value, or fails where the metric did not apply before."""
    return (_has_value(old) and not _has_value(new)) or (old.status == "n/a" and new.status in failed)


def _without_pairs(finding: Finding, old: Sequence[Record], new: Sequence[Record], mended: Sequence[int]) -> Finding:
    """Judge a cell of which no seed has a value in both versions, and none fails newly."""
    if mended:
        head = fmean([record.value for record in new if record.value is not None])
        return replace(finding, verdict="better", head=head, reason=f"no longer fails; in BASE {_outcome(old[0])}")
    if all(before.status == after.status for before, after in zip(old, new, strict=True)):
        return replace(finding, verdict="same", reason=f"no value in both: {_outcome(new[0])}")
    return replace(finding, reason=f"no value: {_outcome(old[0])} in BASE; {_outcome(new[0])} in HEAD")


def _seeds_left_out(
    old: Mapping[int, Record], new: Mapping[int, Record], paired: Sequence[int], mended: Sequence[int]
) -> list[str]:
    """Say on how many seeds a comparison rests if it does not rest on all of them."""
    if {*old, *new} == {*paired, *mended}:
        return []
    return [f"compared over {counted(len(paired), 'seed')} with a value in both"]


def _incomparable(pairs: Sequence[Pair]) -> str | None:
    """Return in what the values of both versions differ that makes them incomparable, in words."""
    for name in ("unit", "direction", "measure"):
        sides = [{getattr(getattr(pair, side), name) for pair in pairs} for side in ("base", "head")]
        if len(sides[0] | sides[1]) > 1:
            words = [", ".join(sorted(str(each or "none") for each in values)) for values in sides]
            return f"the {name} is {words[0]!r} in BASE, {words[1]!r} in HEAD"
    return None


def _compared(finding: Finding, pairs: Mapping[int, Pair], base: Side, head: Side, notes: Sequence[str]) -> Judged:
    """Return the difference of a cell with its error, and what can be decided without statistics of all cells."""
    first = next(iter(pairs.values()))
    assert finding.difference is not None
    assert finding.tolerance is not None
    if all(pair.difference == 0 for pair in pairs.values()):
        reason = _joined([*notes, "equal to the last digit"])
        # Equal real numbers come from the same computation. Equal scores of few possible values may be a coincidence.
        could_differ = first.head.depends_on_seed and not all(pair.stderr for pair in pairs.values())
        found = replace(finding, verdict="same", low=0.0, high=0.0, reason=reason)
        return Judged(found, could_differ=could_differ)
    measured, unpaired = _measured(pairs, base, head)
    notes = [*notes, *([unpaired] if unpaired else [])]
    if "seconds" in (first.base.budget or {}):
        notes.append("models are trained for a time, so the speed of the code and of the machine has a part in it")
    comparison = compare([measured, Measured(dict.fromkeys(measured.by_seed, 0.0))])
    is_known = measured.stderr is not None or bool(measured.spread)
    margin = float(comparison.margin(simultaneous=False)[0, 1])
    if _is_reversed(list(pairs.values()), finding.tolerance, margin if is_known else 0.0):
        return Judged(replace(finding, verdict="worse", reason=_joined(["the sign is reversed", *notes])))
    if len(pairs) == 1 and first.head.depends_on_seed:
        return Judged(replace(finding, reason=_joined(["one seed; run with 3 seeds or more", *notes])))
    if not is_known:
        return Judged(replace(finding, reason=_joined(["its error is not known", *notes])))
    difference = finding.difference
    return Judged(
        replace(finding, low=difference - margin, high=difference + margin, reason=_joined(notes)),
        decided=False,
        could_differ=True,
        worse_p=_p_value(comparison, finding.direction, finding.tolerance),
        improvement={"higher": difference, "lower": -difference}.get(finding.direction or ""),
        margin=margin,
        biased=tuple(
            name for name in ("base", "head") if any(getattr(pair, name).biased_in_favour for pair in pairs.values())
        ),
    )


def _is_reversed(pairs: Sequence[Pair], tolerance: float, margin: float) -> bool:
    """Whether the values of all seeds have changed their sign only, and this is no accident of values near zero."""
    for pair in pairs:
        if pair.old * pair.new >= 0 or abs(pair.old) <= 2 * tolerance or abs(pair.difference) <= margin:
            return False
        if abs(pair.old + pair.new) > max(tolerance, _reversed * abs(pair.old)):
            return False
    return True


def _measured(pairs: Mapping[int, Pair], base: Side, head: Side) -> tuple[Measured, str | None]:
    """Return the differences of a cell for all seeds, and why they are not paired on test examples, if they should be.

    The randomness of an estimator counts as independent in both versions, since a version that draws one number more
    gets other numbers from there on. It is added as far as the spread over seeds does not show it.
    """
    all_pairs = list(pairs.values())
    by_seed = {seed: pair.difference for seed, pair in pairs.items()}
    stderrs = tuple(stderr for pair in all_pairs if (stderr := pair.stderr) is not None)
    freedoms = [freedom for pair in all_pairs if (freedom := pair.degrees_of_freedom) is not None]
    unpaired = Measured(by_seed, stderrs, min(freedoms, default=None))
    records = [record for pair in all_pairs for record in (pair.base, pair.head)]
    groups = {len(record.group_values) for record in records}
    if groups != {0}:
        if len(groups) > 1:
            differ = "only some records have values of groups" if 0 in groups else "the numbers of groups differ"
            return unpaired, f"not paired on test examples, since {differ}"
        noise = [math.hypot(pair.base.estimator_stderr or 0, pair.head.estimator_stderr or 0) for pair in all_pairs]
        return _over_groups(unpaired, [_gaps(pair) for pair in all_pairs], noise), None
    if not (records[0].counted or "test examples").endswith("examples"):
        return replace(unpaired, measurement_stderr=root_mean_square(stderrs)), None
    try:
        found = [(base.values(pair.base), head.values(pair.head)) for pair in all_pairs]
    except StoreError as error:
        return unpaired, f"not paired on test examples: {error}"
    if all(stderr == 0 for stderr in stderrs) and all(each is None for both in found for each in both):
        return unpaired, None
    for position, name in ((0, "BASE"), (1, "HEAD")):
        if any(both[position] is None for both in found):
            return unpaired, f"not paired on test examples, since {name} has no per-example values"
    return _over_examples(unpaired, all_pairs, found)


def _gaps(pair: Pair) -> Floats:
    import numpy as np

    gaps: Floats = np.array(pair.head.group_values) - np.array(pair.base.group_values)
    return gaps


def _over_groups(unpaired: Measured, gaps: Sequence[Floats], noise: Sequence[float]) -> Measured:
    """Return differences whose error over test examples is that of pseudo-values or means of groups, ``(g,)`` each.

    Pseudo-values may have fewer degrees of freedom than their number less one, which ``unpaired`` then has.

    Args:
        unpaired: the differences.
        gaps: of the groups, for each seed.
        noise: the standard error of the measurement, for each seed.
    """
    import numpy as np

    mean = np.mean(gaps, axis=0)
    if len(mean) < 2:
        return unpaired
    measurement = root_mean_square(noise)
    over_examples = float(mean.std(ddof=1)) / math.sqrt(len(mean))
    return replace(
        unpaired,
        stderrs=(math.hypot(over_examples, measurement),),
        degrees_of_freedom=min(len(mean) - 1, unpaired.degrees_of_freedom or math.inf),
        measurement_stderr=measurement,
    )


def _over_examples(
    unpaired: Measured, pairs: Sequence[Pair], found: Sequence[tuple[Values | Condensed | None, ...]]
) -> tuple[Measured, str | None]:
    """Return differences paired on per-example values, condensed if those of either version are; else say why not."""
    other = "not paired on test examples, since they are not the same in both"
    is_condensed = any(isinstance(each, Condensed) for both in found for each in both)
    if is_condensed:
        groups = [
            [each if isinstance(each, Condensed) else condense(record, each) for record, each in _sides(pair, both)]
            for pair, both in zip(pairs, found, strict=True)
        ]
        if len({(each.examples, len(each.means)) for both in groups for each in both}) > 1:
            return unpaired, other
        noise = [math.hypot(*(each.measurement_stderr for each in both)) for both in groups]
        return _over_groups(unpaired, [new.means - old.means for old, new in groups], noise), None
    whole = [
        [(record, each) for record, each in _sides(pair, both) if not isinstance(each, Condensed)]
        for pair, both in zip(pairs, found, strict=True)
    ]
    ids = whole[0][0][1].ids
    if any(len(each.ids) != len(ids) or (each.ids != ids).any() for both in whole for _, each in both):
        return unpaired, other
    noise = [math.hypot(*(stderr_not_over_examples(*each) for each in both)) for both in whole]
    gaps = [new.values - old.values for (_, old), (_, new) in whole]
    return _over_groups(unpaired, gaps, noise), None


def _sides(pair: Pair, both: tuple[Values | Condensed | None, ...]) -> list[tuple[Record, Values | Condensed]]:
    found = zip((pair.base, pair.head), both, strict=True)
    return [(record, each) for record, each in found if each is not None]


def _p_value(comparison: Comparison, direction: str | None, tolerance: float) -> float:
    """Return the p-value of the hypothesis that the head is not worse, or else not different, by the tolerance."""
    of_both = comparison.p_values(tolerance)
    more, less = float(of_both[0, 1]), float(of_both[1, 0])
    return {"higher": less, "lower": more}.get(direction or "", min(1.0, 2 * min(more, less)))


def _with_verdict(judged: Judged, is_worse: bool, cells: int) -> Finding:
    """Return the finding with its verdict."""
    finding = judged.finding
    difference, tolerance, margin = finding.difference, finding.tolerance, judged.margin
    assert difference is not None
    assert tolerance is not None
    assert margin is not None
    notes = [judged.no_longer_fails, finding.reason or ""]
    improvement = -abs(difference) if judged.improvement is None else judged.improvement
    has_directions = judged.improvement is not None
    if is_worse and "base" not in judged.biased:
        changed = "" if has_directions else "it changed, and neither higher nor lower is better"
        return replace(finding, verdict="worse", reason=_joined([changed, *notes]))
    is_better = has_directions and improvement > max(margin, tolerance)
    is_same = margin - improvement < tolerance
    if (is_better or is_same) and "head" not in judged.biased:
        return replace(
            finding, verdict="better" if is_better or judged.no_longer_fails else "same", reason=_joined(notes)
        )
    if judged.biased:
        favoured = " and ".join(name.upper() for name in judged.biased)
        return replace(finding, reason=_joined([f"the error in {favoured} is known to favour the model", *notes]))
    return replace(finding, reason=_joined([_undecided(improvement, margin, tolerance, finding.unit, cells), *notes]))


def _undecided(improvement: float, margin: float, tolerance: float, unit: str | None, cells: int) -> str:
    """Say what the interval allows, and what would decide it."""
    accepted = f"{_number(tolerance)}{f' {unit}' if unit else ''}"
    if improvement + margin < -tolerance:
        among = f" among {cells:,} cells" if cells > 1 else ""
        return f"likely worse by more than {accepted}, but not beyond chance{among}; run with more seeds"
    largest = _number(margin - improvement)
    return f"the 95% interval allows for {largest}, which is more than {accepted}; run with more seeds"


def _number(number: float) -> str:
    return f"{number:.{_few}g}"


def _joined(notes: Sequence[str]) -> str | None:
    return "; ".join(filter(None, notes)) or None
