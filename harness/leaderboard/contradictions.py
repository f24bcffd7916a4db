"""Finds values of one fit that cannot both be right, such as a tighter bound that is below a looser one."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.contracts.events import Record
from harness.errors import StoreError
from harness.results.store import Store

if TYPE_CHECKING:
    from harness.contracts.events import Values

_standard_errors = 5.0  # a difference beyond which is no chance; boards are looked at many times
_rounding = 1e-4  # of the value


def with_contradictions(records: Iterable[Record], store: Store, among: Iterable[Record] = ()) -> list[Record]:
    """Return the records, with what contradicts each, of themselves or ``among`` others.

    A metric may state that its value is at least that of others on the same fit (``at_least``). The two are compared on
    the examples that both were measured on. If the difference is significantly below zero, one of the two is wrong, and
    nothing here says which, so both are marked.
    """
    records = list(records)
    marked = {record.cell_key for record in records}
    known = [*records, *(record for record in among if record.cell_key not in marked)]
    by_fit: dict[tuple[str, str, int], list[Record]] = defaultdict(list)
    for record in known:
        if record.status == "ok":
            by_fit[record.fit_key, record.split, record.evaluation_seed].append(record)
    found: dict[str, list[str]] = defaultdict(list)
    for upper in known:
        if upper.status != "ok" or not upper.at_least:
            continue
        for lower in by_fit[upper.fit_key, upper.split, upper.evaluation_seed]:
            comparable = (lower.unit, lower.measure) == (upper.unit, upper.measure)
            concerns = not marked.isdisjoint((upper.cell_key, lower.cell_key))
            if concerns and comparable and lower.metric["name"] in upper.at_least and _is_below(upper, lower, store):
                names = upper.metric["name"], lower.metric["name"]
                found[upper.cell_key].append(f"below {names[1]} of the same fit, which {names[0]} cannot be")
                found[lower.cell_key].append(f"above {names[0]} of the same fit, which {names[1]} cannot be")
    return [
        replace(record, contradiction="; ".join(dict.fromkeys([*filter(None, [record.contradiction]), *texts])))
        if (texts := found.get(record.cell_key))
        else record
        for record in records
    ]


def _is_below(upper: Record, lower: Record, store: Store) -> bool:
    """Return whether a value is significantly below another one, by the examples that both have."""
    import numpy as np

    above, below = _values(upper, store), _values(lower, store)
    if above is None or below is None:
        return False
    _, first, second = np.intersect1d(above.ids, below.ids, assume_unique=True, return_indices=True)
    if len(first) < 2:
        return False
    differences = above.values[first] - below.values[second]
    error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
    least = max(_standard_errors * error, _rounding * abs(float(below.values[second].mean())))
    return float(differences.mean()) < -least


def _values(record: Record, store: Store) -> Values | None:
    try:
        return store.values(record)
    except StoreError:  # the board says so
        return None
