"""The truth table of a metric of samples: which checks with a known truth it passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import torch

from harness.calibration.rules import Curve, Peaks, Rule, Verdict, Within
from harness.calibration.sample_checks import Check, Demand, Sets, Streams, Variant, closed_form_topic, normal, size
from harness.contracts.metrics import Aspect
from harness.errors import NotApplicable, no_exit
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.component import Component

Outcome = Literal["pass", "fail", "n/a"]


@dataclass(frozen=True)
class TruthRow:
    """Whether a metric passes the demands of a check on one topic.

    Args:
        metric: its name.
        settings: of the metric, as JSON values.
        aspect: what the metric judges; see ``harness.calibration.sample_checks``.
        check: its name.
        topic: of the demands.
        shows: what a right metric shows, in one sentence.
        outcome: ``pass`` if every demand is met in every variant; ``n/a`` if there is none for this aspect, or the
            metric does not apply.
        convention: for a diversity metric and samples wider than the data: whether it gives them a ``low`` or a
            ``high`` value; None if that is not asked.
        reasons: the demands that are not met, or why the metric does not apply.
        replications: number of measurements, averaged at each point.
    """

    metric: str
    settings: Mapping[str, Any]
    aspect: Aspect
    check: str
    topic: str
    shows: str
    outcome: Outcome
    convention: Literal["low", "high"] | None
    reasons: tuple[str, ...]
    replications: int


def aspect_of(metric: Any) -> Aspect:
    """Return what a metric judges: its ``aspect``, or ``overall`` without one."""
    aspect: Aspect = getattr(metric, "aspect", "overall")
    return aspect


@dataclass(frozen=True)
class Cost:
    """What checks of a metric cost: the number of comparisons, and how many seconds they take, estimated from one."""

    comparisons: int
    seconds: float

    @classmethod
    def of(cls, component: Component, checks: Sequence[Check], replications: int) -> Cost:
        """Estimate the cost of checks, from the faster of two comparisons of 1,000 points in 32 dimensions."""
        metric = component.factory(component.config)
        repeated = [
            (variant.replications(point, replications), max(1.0, point / size) ** 1.5 if variant.grows else 1.0)
            for check in checks
            for variant in check.variants
            if _demands(metric, variant)
            for point in variant.points
        ]
        points = normal(Noise(0), 3 * size, 32)
        sets, seconds = Sets(*points.split(size)), []
        for _ in range(2):
            started = time.perf_counter()
            _compare(metric, sets, 0)
            seconds.append(time.perf_counter() - started)
        once = min(seconds)
        return cls(sum(times for times, _ in repeated), once * sum(times * weight for times, weight in repeated))


def truth_rows(
    component: Component, check: Check, replications: int, on_comparison: Callable[[], None] = lambda: None
) -> list[TruthRow]:
    """Run a check on a metric of samples; return a row for each of its topics.

    Args:
        component: the metric with its settings; it has ``compare``.
        check: the check.
        replications: number of measurements at each point, from different seeds.
        on_comparison: called after each measurement.
    """
    metric = component.factory(component.config)
    verdicts: dict[str, list[tuple[str, Verdict]]] = {topic: [] for topic in check.topics}
    inapplicable: list[str] = []
    for variant in check.variants:
        demands = _demands(metric, variant)
        if not demands:
            continue
        try:
            curve = _curve(metric, check, variant, replications, on_comparison)
        except NotApplicable as error:
            inapplicable.append(f"{variant.label}: {error}")
            continue
        for demand in demands:
            has_scale = isinstance(demand.rule, Within) or aspect_of(metric) in ("fidelity", "diversity")
            judged = curve if has_scale else _relative(curve, metric.direction, demand.rule)
            verdicts[demand.topic].append((f"{variant.label}: {demand.says}", demand.rule(judged)))
    return [
        TruthRow(
            metric=component.name,
            settings=component.settings,
            aspect=aspect_of(metric),
            check=check.name,
            topic=topic,
            shows=check.shows,
            replications=replications,
            **_summary(verdicts[topic], inapplicable),
        )
        for topic in check.topics
    ]


def _summary(verdicts: Sequence[tuple[str, Verdict]], inapplicable: Sequence[str]) -> dict[str, Any]:
    conventions = {verdict for _, verdict in verdicts} & {"low", "high"}
    failures = [says for says, verdict in verdicts if verdict == "fail"]
    if len(conventions) > 1:
        failures.append("wide samples: a low value in some dimensions, a high one in others")
    outcome: Outcome = "fail" if failures else "pass" if verdicts else "n/a"
    return {
        "outcome": outcome,
        "convention": conventions.pop() if outcome == "pass" and conventions else None,
        "reasons": (*failures, *inapplicable),
    }


def _demands(metric: Any, variant: Variant) -> Sequence[Demand]:
    if variant.gaussians is not None and hasattr(metric, "between_gaussians"):
        exact = {point: float(metric.between_gaussians(*variant.gaussians(point))) for point in variant.points}
        return [Demand(closed_form_topic, "within 5% of the closed form", Within(exact))]
    return variant.demands.get(aspect_of(metric), ())


def _curve(
    metric: Any, check: Check, variant: Variant, replications: int, on_comparison: Callable[[], None]
) -> dict[float, float]:
    """Return the mean value of the metric at each point."""
    values: dict[float, list[float]] = {point: [] for point in variant.points}
    for number, point in enumerate(variant.points):
        for replication in range(variant.replications(point, replications)):
            place = "sample checks", check.name, variant.label, replication
            real, fresh = derive_seed(*place, "real"), derive_seed(*place, "fresh", number)
            sets = variant.draw(point, Streams(Noise(real), Noise(fresh)))
            values[point].append(_compare(metric, sets, fresh))
            on_comparison()
    return {point: fmean(found) for point, found in values.items()}


def _compare(metric: Any, sets: Sets, seed: int) -> float:
    with no_exit(), global_seed(seed), torch.no_grad():
        return float(metric.compare(*sets))


def _relative(curve: Curve, direction: str | None, rule: Rule) -> Curve:
    """Return values without a common scale relative to the largest; higher is better.

    For a peak, values on either side of it are relative to the largest of that side: distances of samples that are too
    narrow are bounded, and of those that are too wide are not.
    """
    sign = -1 if direction == "lower" else 1

    def largest(points: Iterable[float]) -> float:
        return max(abs(curve[point]) for point in points) or 1.0

    if not isinstance(rule, Peaks):
        scale = largest(curve)
        return {point: sign * value / scale for point, value in curve.items()}
    left = largest(point for point in curve if point <= rule.at)
    right = largest(point for point in curve if point >= rule.at)
    scales = {point: left if point < rule.at else right for point in curve} | {rule.at: min(left, right)}
    return {point: sign * value / scales[point] for point, value in curve.items()}
