"""Records of cells: with a value, or with the reason why there is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from harness.contracts.events import Record
from harness.execution.failure import Failure
from harness.execution.specification import RunSpecification
from harness.planning.component import Component
from harness.planning.identity import hash_of
from harness.planning.plan import Cell


def record_of(cell: Cell, specification: RunSpecification, status: str, **fields: Any) -> Record:
    """Return the record of a cell that has ended now."""
    fit = cell.fit.identity
    return Record(
        cell_key=cell.key,
        fit_key=cell.fit.key,
        dataset=_described(cell.fit.dataset),
        model=_described(cell.fit.model),
        metric=_described(cell.metric),
        seed=cell.fit.seed,
        budget=fit["budget"],
        engine=fit["engine"],
        machine=cell.machine,
        split=cell.split,
        evaluation_seed=cell.evaluation_seed,
        environment=hash_of(specification.environment.as_json()),
        commit=specification.commit.sha,
        dirty=specification.commit.dirty,
        status=status,
        ended=now(),
        **fields,
    )


def record_without_value(cell: Cell, failure: Failure, specification: RunSpecification) -> Record:
    """Return the record of a cell that has no value."""
    return record_of(cell, specification, failure.status, reason=failure.reason, traceback=failure.traceback)


def now() -> str:
    """Return the time in UTC, in ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _described(component: Component) -> dict[str, Any]:
    described = {**component.identity, "settings": component.settings, "changed": component.changed}
    if component.content is not None:
        described["note"] = component.content.note
    if component.weights is not None:
        described["weights"] = str(component.weights)
    return {**described, "plugin_version": component.provided.plugin.version}
