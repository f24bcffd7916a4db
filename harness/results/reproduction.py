"""Compares a result that was computed again with the stored one: value, per-example values and weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from harness.contracts.events import Record
from harness.errors import StoreError
from harness.results.store import Store

if TYPE_CHECKING:
    from torch import Tensor

Verdict = Literal["identical", "equal within its error", "different"]

# What a record says about its result, apart from texts and diagnostics, in the order in which differences are named.
_fields = (
    "status", "value", "stderr", "n", "unit", "direction", "measure", "estimator_stderr", "effective_sample_size",
    "degrees_of_freedom", "parts", "group_values",
)  # fmt: skip
_of_timings = ("status", "unit", "direction", "measure")  # besides the value
_confidence = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Reproduction:
    """A stored result, computed again.

    Args:
        verdict: ``identical``: value, errors, per-example values and weights are the same bit for bit; ``equal within
            its error``: the values differ by no more than the 95% interval of a difference of two such measurements;
            or ``different``.
        stored: the record before.
        again: the record now.
        differences: of the result, in words, the first one first.
        environment: what differs in software, machine and commit, in words.
        not_compared: what could not be compared, in words.
    """

    verdict: Verdict
    stored: Record
    again: Record
    differences: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    not_compared: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether the result is what it can be: identical, or within its error if it rests on a clock."""
        return self.verdict == "identical" or (self.verdict != "different" and rests_on_a_clock(self.stored))


def rests_on_a_clock(record: Record) -> bool:
    """Return whether a result cannot be the same bit for bit: a timing, or a model that was trained for a time."""
    return record.machine is not None or "seconds" in (record.budget or {})


def compare(record: Record, stored: Store, again: Store) -> Reproduction:
    """Compare a stored result with the one that was computed again.

    Args:
        record: the stored one.
        stored: the store of the record.
        again: the store of the new result.

    Raises:
        StoreError: the new result is missing or cannot be read.
    """
    new = next((each for each in again.records() if each.cell_key == record.cell_key), None)
    if new is None:
        raise StoreError(f"{again.root} has no result {record.cell_key}")
    not_compared: list[str] = []
    names = _of_timings if record.machine is not None else _fields
    differences = [line for name in names for line in _differences(name, getattr(record, name), getattr(new, name))]
    if record.machine is not None:
        differences += _differences("value", record.value, new.value)
    else:
        differences += _differences_of_values(record, new, stored, again, not_compared)
    differences += _differences_of_weights(record.fit_key, stored, again, not_compared)
    verdict: Verdict = "identical"
    if differences:
        verdict = "equal within its error" if _within_error(record, new) else "different"
    environment = [*_differences_of_environment(record, new, stored, again), *_differences_of_commit(record, new)]
    return Reproduction(verdict, record, new, tuple(differences), tuple(environment), tuple(not_compared))


def _within_error(before: Record, now: Record) -> bool:
    if before.status != now.status or None in (before.value, now.value, before.stderr, now.stderr):
        return False
    assert before.value is not None and now.value is not None
    error = math.hypot(before.stderr or 0.0, now.stderr or 0.0)
    return abs(now.value - before.value) <= _confidence * error


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    """Yield the differences of a field; what only one of the records has is none, since versions add fields."""
    if isinstance(before, Mapping):
        for key in (each for each in before if each in now):
            yield from _differences(f"{name}.{key}", before[key], now[key])
    elif isinstance(before, Sequence) and not isinstance(before, str):
        if before and now and tuple(before) != tuple(now):
            yield f"{name}: {_of_numbers(before, now)}"
    elif before != now and (name in ("status", "value") or None not in (before, now)):
        both_numbers = all(isinstance(each, int | float) for each in (before, now))
        by = f", by {now - before:.2g}" if both_numbers else ""
        yield f"{name}: {_written(now)}, was {_written(before)}{by}"


def _of_numbers(before: Sequence[float], now: Sequence[float]) -> str:
    if len(before) != len(now):
        return f"{len(now)} numbers, were {len(before)}"
    changed = [abs(new - old) for old, new in zip(before, now, strict=True) if new != old]
    return f"{len(changed)} of {len(before)} numbers differ, by up to {max(changed):.2g}"


def _differences_of_values(
    record: Record, new: Record, stored: Store, again: Store, not_compared: list[str]
) -> Iterator[str]:
    import numpy as np

    try:
        before = stored.values(record)
    except StoreError as error:
        not_compared.append(f"per-example values: {error}")
        return
    now = again.values(new)
    if before is None or now is None:
        if before is not now:
            not_compared.append("per-example values: only one of the results has them")
        return
    if not np.array_equal(before.ids, now.ids):
        yield f"per-example values: of {len(now.ids)} examples, were of {len(before.ids)} other examples"
        return
    changed = np.flatnonzero(~((before.values == now.values) | (np.isnan(before.values) & np.isnan(now.values))))
    if len(changed):
        by = np.abs(now.values[changed].astype(np.float64) - before.values[changed])
        first = before.ids[changed[0]]
        yield (
            f"per-example values: {len(changed)} of {len(before.ids)} differ, by up to {by.max():.2g}; the first is "
            f"that of example {first}"
        )


def _differences_of_weights(key: str, stored: Store, again: Store, not_compared: list[str]) -> Iterator[str]:
    file = "weights.safetensors"
    now = again.read_fit(key)
    if now is None or file not in now["digests"]:
        return
    try:
        before = stored.read_fit(key)
        if before is None:
            not_compared.append("weights: the fit is not stored")
            return
        stored.check_tensors(key, file)
        if before.get("digests", {}).get(file) == now["digests"][file]:
            return
        tensors = stored.weights(key)
    except StoreError as error:
        not_compared.append(f"weights: {error}")
        return
    yield from _differences_of_tensors(tensors, again.weights(key))


def _differences_of_tensors(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield the first tensor that differs, and how many do."""
    if before.keys() != now.keys():
        names = sorted(before.keys() ^ now.keys())
        yield f"weights: {names[0]} is in only one of the models"
        return
    changed = [name for name in before if not _equal(before[name], now[name])]
    if not changed:
        return
    first = changed[0]
    old, new = before[first], now[first]
    if old.shape != new.shape or old.dtype != new.dtype:
        what = f"{tuple(new.shape)} of {new.dtype}, was {tuple(old.shape)} of {old.dtype}"
    else:
        by, size = float((new.double() - old.double()).abs().max()), float(old.double().abs().max())
        what = f"by up to {by:.2g}, where the largest number is {size:.2g}"
    yield f"weights: {len(changed)} of {len(before)} tensors differ, the first is {first}: {what}"


def _equal(one: Tensor, other: Tensor) -> bool:
    import torch

    alike = one.shape == other.shape and one.dtype == other.dtype
    return alike and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)


def _differences_of_environment(record: Record, new: Record, stored: Store, again: Store) -> Iterator[str]:
    before = stored.environment(record.environment) if record.environment else None
    now = again.environment(new.environment) if new.environment else None
    if before is None or now is None:
        yield "software and machine of the stored result are not known"
        return
    before, now = ({**each.pop("distributions", {}), **each} for each in (before, now))
    for name in (each for each in before if each in now):
        if before[name] != now[name]:
            yield f"{name} {now[name]}, was {before[name]}"


def _differences_of_commit(record: Record, new: Record) -> Iterator[str]:
    before, now = (
        None if each.commit is None else each.commit[:10] + " with changes" * bool(each.dirty) for each in (record, new)
    )
    if before != now:
        yield f"commit {now or 'unknown'}, was {before or 'unknown'}"


def _written(value: Any) -> str:
    return "none" if value is None else repr(value) if isinstance(value, float) else str(value)
