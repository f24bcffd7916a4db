"""Findings: what the comparison of two versions says about a cell, a benchmark or a count."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from harness.errors import on_one_line
from harness.leaderboard.text import printable

Kind = Literal["quality", "speed", "count"]
Outcome = Literal["nothing", "regression", "inconclusive", "passed"]
Verdict = Literal["worse", "newly failing", "missing", "inconclusive", "better", "same"]

kinds: tuple[Kind, ...] = get_args(Kind)
verdicts: tuple[Verdict, ...] = get_args(Verdict)
regressions: tuple[Verdict, ...] = ("worse", "newly failing", "missing")

false_alarm_rate = 0.01  # the probability that a comparison of equal versions has any finding ``worse``


@dataclass(frozen=True)
class Finding:
    """The verdict on one cell, benchmark or count.

    Messages of errors may have anything in them, which a format cannot hold or would act on. So name and reason are
    kept as one line without control characters, and the reason is cut to some 300 characters.

    Args:
        name: of the cell, benchmark or count; unique among the findings of its kind.
        kind: ``quality``, ``speed`` or ``count``.
        verdict: ``worse``, ``better`` or ``same``, which have been shown; ``inconclusive`` if nothing has been shown;
            ``missing`` if only the base has it; ``newly failing`` if it works in the base only.
        base: the value of the base, in ``unit``; None if there is none.
        head: the value of the head.
        ratio: head / base, for a speed or a count; above 1 is slower, or more. None for quality.
        difference: head − base, for quality, in ``unit``.
        low: the lower end of the 95% interval of ``ratio`` or ``difference``; None if it is not known.
        high: its upper end.
        unit: of ``base`` and ``head``.
        direction: ``higher`` or ``lower``, whichever is better.
        tolerance: how much worse is accepted, in ``unit`` for quality, as a share for a speed or a count.
        reason: what there is to say beyond the numbers, in one sentence; None if nothing.
    """

    name: str
    kind: Kind
    verdict: Verdict
    base: float | None = None
    head: float | None = None
    ratio: float | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str | None = None
    direction: str | None = None
    tolerance: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Clean the texts."""
        object.__setattr__(self, "name", printable(self.name))
        if self.reason is not None:
            object.__setattr__(self, "reason", on_one_line(printable(self.reason)))

    @property
    def is_regression(self) -> bool:
        """Whether the head must not replace the base as it is."""
        return self.verdict in regressions


def outcome(findings: Sequence[Finding]) -> Outcome:
    """Return what findings mean together; ``nothing`` if nothing was compared, as where all have failed in both."""
    if any(each.is_regression for each in findings):
        return "regression"
    if all(each.ratio is None and each.difference is None and each.verdict != "better" for each in findings):
        return "nothing"
    return "inconclusive" if any(each.verdict == "inconclusive" for each in findings) else "passed"


def as_json(findings: Sequence[Finding]) -> str:
    """Write findings as a JSON list; an infinite ratio, which JSON cannot represent, is null."""

    def known(value: object) -> object:
        return None if isinstance(value, float) and not math.isfinite(value) else value

    rows = [{name: known(value) for name, value in asdict(each).items()} for each in findings]
    return json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False)


def holm(p_values: Sequence[float], level: float, hypotheses: int) -> list[bool]:
    """Return which of several hypotheses are rejected so that any false rejection has probability ``level`` at most.

    Holm (1979), which holds for any dependence.

    Args:
        p_values: of the hypotheses that are tested.
        level: the familywise error rate.
        hypotheses: how many there are in all, at least as many as are tested.
    """
    rejected = [False] * len(p_values)
    for place, number in enumerate(sorted(range(len(p_values)), key=lambda each: p_values[each])):
        if p_values[number] > level / (hypotheses - place):
            break
        rejected[number] = True
    return rejected
