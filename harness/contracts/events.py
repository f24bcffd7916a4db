"""What notice hooks receive: the cell that is computed, and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

from harness.settings import name_with_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EvaluationSplit = Literal["test", "validation"]
evaluation_splits: tuple[EvaluationSplit, ...] = get_args(EvaluationSplit)

# Of records; 1 kept in ``diagnostics`` what are fields of their own now, 2 had no ``group_values``, and 3 no
# ``values_digest`` and no checksum.
schema = 4
finished = ("ok", "n/a", "diverged")
failed = ("error", "timeout", "out-of-memory", "killed", "hung", "diverged")

# Where records of schema 1, and metrics written for them, kept what are fields of their own now.
fields_of_schema_1 = {
    "warning": "marked",
    "biased_in_favour": "flattering",
    "threads": "threads",
    "estimator_stderr": "estimator_stderr",
    "effective_sample_size": "effective_sample_size_median",
}


class Component(Protocol):
    """A data set, model or metric with its settings."""

    @property
    def name(self) -> str:
        """The name users type."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Every setting, as JSON values."""

    @property
    def changed(self) -> Sequence[str]:
        """The names of the settings that are not at their defaults."""


class Fit(Protocol):
    """A model that is trained on a data set from a seed."""

    @property
    def dataset(self) -> Component:
        """The data set."""

    @property
    def model(self) -> Component:
        """The model."""

    @property
    def seed(self) -> int:
        """The seed."""

    @property
    def key(self) -> str:
        """The hash of all that can change the fitted weights."""


class Cell(Protocol):
    """A metric that is measured on a fit."""

    @property
    def fit(self) -> Fit:
        """The fit."""

    @property
    def metric(self) -> Component:
        """The metric."""

    @property
    def split(self) -> str:
        """The split that is measured, ``test`` or ``validation``."""

    @property
    def evaluation_seed(self) -> int:
        """The seed of the metric's randomness."""

    @property
    def key(self) -> str:
        """The hash of all that can change the measured value."""


@dataclass(frozen=True, slots=True)
class Record:
    """The outcome of one cell.

    ``status`` is one of ``ok``, ``n/a``, ``diverged``, ``error``, ``timeout``, ``out-of-memory``, ``killed`` and
    ``hung``; ``reason`` says why there is no value, and what was seen. The fields from ``value`` to ``group_values``
    are those of ``harness.Estimate``, in ``unit``. ``seconds`` are wall-clock time, ``peak_memory`` is in bytes.
    ``depends_on_seed`` is False if the metric states that its value is the same for every seed, or if the model comes
    from files. ``bound`` is ``lower`` or ``upper`` if values are bounds. ``at_least`` names metrics of the same fit
    whose values are not above this one, as the metric states. ``limits`` is what the metric states that it cannot see.
    Timings that were taken in turn have the same ``timing_group``. ``values_digest`` is the SHA-256 of the file of
    per-example values, or None if there is none.
    """

    cell_key: str
    fit_key: str
    dataset: Mapping[str, Any]
    model: Mapping[str, Any]
    metric: Mapping[str, Any]
    seed: int
    budget: Mapping[str, Any] | None
    engine: Mapping[str, Any]
    machine: str | None
    split: str
    evaluation_seed: int
    status: str
    reason: str | None = None
    value: float | None = None
    stderr: float | None = None
    n: int | None = None
    counted: str | None = None
    unit: str | None = None
    direction: str | None = None
    measure: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    samples: tuple[float, ...] = ()
    warning: str | None = None
    biased_in_favour: bool = False
    contradiction: str | None = None
    threads: int | None = None
    estimator_stderr: float | None = None
    effective_sample_size: float | None = None
    degrees_of_freedom: float | None = None
    group_values: tuple[float, ...] = ()
    depends_on_seed: bool = True
    bound: str | None = None
    at_least: tuple[str, ...] = ()
    limits: str | None = None
    timing_group: str | None = None
    seconds: float | None = None
    peak_memory: int | None = None
    environment: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    started: str | None = None
    ended: str | None = None
    traceback: str | None = None
    values_digest: str | None = None
    schema: int = schema

    @property
    def is_finished(self) -> bool:
        """Whether the cell need not be computed again: a failure is never taken for a result."""
        return self.status in finished


def identity_of(component: Mapping[str, Any]) -> list[Any]:
    """Return what a data set, a model or a metric of a record is known by."""
    found = [component[name] for name in ("name", "distribution", "version", "settings")]
    return [*found, component["content"]] if "content" in component else found


def name_of_component(component: Mapping[str, Any]) -> str:
    """Return the name of a data set, a model or a metric of a record, with the settings that were changed."""
    return name_with_settings(component["name"], component["settings"], component["changed"])


class Values(NamedTuple):
    """A metric's value for each example: the example's place in its source, and the value; both ``(n,)``."""

    ids: NDArray[np.int64]
    values: NDArray[np.float64]
