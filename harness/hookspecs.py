"""Everything that can be extended, on one screen.

Implement any of these hooks in a module, mark it ``@harness.hookimpl``, and name the module in the entry-point group
``harness`` (or pass the file with ``--plugin``). Keep that module cheap to import. A hook that provides something takes
no arguments and returns a list of specs, so it can be called in a test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import pluggy

from harness.specs import (
    BoardFigureSpec,
    CommandSpec,
    DatasetSpec,
    ExecutorSpec,
    FigureSpec,
    MetricSpec,
    ModelSpec,
    RendererSpec,
)

if TYPE_CHECKING:
    from harness.contracts.events import Cell, Fit, Record

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")


@hookspec
def harness_datasets() -> Iterable[DatasetSpec]:  # type: ignore[empty-body]
    """Provide data sets."""


@hookspec
def harness_models() -> Iterable[ModelSpec]:  # type: ignore[empty-body]
    """Provide generative models."""


@hookspec
def harness_metrics() -> Iterable[MetricSpec]:  # type: ignore[empty-body]
    """Provide metrics."""


@hookspec
def harness_figures() -> Iterable[FigureSpec]:  # type: ignore[empty-body]
    """Provide figures of fitted models."""


@hookspec
def harness_board_figures() -> Iterable[BoardFigureSpec]:  # type: ignore[empty-body]
    """Provide figures of the boards of a data set."""


@hookspec
def harness_executors() -> Iterable[ExecutorSpec]:  # type: ignore[empty-body]
    """Provide ways to start workers on other machines."""


@hookspec
def harness_renderers() -> Iterable[RendererSpec]:  # type: ignore[empty-body]
    """Provide formats of leaderboards."""


@hookspec
def harness_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Provide commands of the command line."""


@hookspec
def harness_epoch_ended(fits: Sequence[Fit], epoch: int, losses: Mapping[str, float], progress: float) -> None:
    """Receive the mean training losses of an epoch, from 1, and the share of the budget that is spent.

    There is one fit, or several that differ in the seed and are trained as one; losses are then means over them.
    """


@hookspec
def harness_fit_ended(fits: Sequence[Fit], status: str, seconds: float) -> None:
    """Receive fits that have ended together, how, such as ``ok`` or ``diverged``, and how long they took."""


@hookspec
def harness_cell_started(cell: Cell) -> None:
    """Receive a cell that is about to be computed."""


@hookspec
def harness_cell_finished(cell: Cell, record: Record) -> None:
    """Receive a cell that has ended, and its record, which is on disk."""
