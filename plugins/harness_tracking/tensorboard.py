"""Training losses and results for TensorBoard, in the folder that ``HARNESS_TENSORBOARD`` names.

There is one folder a fit, ``<data set>/<model>/seed <seed>, <key>``. Losses have the epoch as their step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import Cell, Fit, Record, UsageError, hookimpl
from harness_tracking.titles import title_of, title_of_loss, without

_variable = "HARNESS_TENSORBOARD"
_writers: dict[str, Any] = {}  # of fits that are being trained, by their keys


@hookimpl
def harness_epoch_ended(fits: Sequence[Fit], epoch: int, losses: Mapping[str, float]) -> None:
    """Write the mean losses of an epoch."""
    if _variable not in os.environ:
        return
    for fit in fits:
        if fit.key not in _writers:
            _writers[fit.key] = _writer(fit)
            _writers[fit.key].add_text("settings", json.dumps({**fit.dataset.settings, **fit.model.settings}))
        for name, value in losses.items():
            _writers[fit.key].add_scalar(_tag(title_of_loss(fits, name)), value, epoch)
        _writers[fit.key].flush()


@hookimpl
def harness_fit_ended(fits: Sequence[Fit]) -> None:
    """Close the files of the fits."""
    for fit in fits:
        if (writer := _writers.pop(fit.key, None)) is not None:
            writer.close()


@hookimpl
def harness_cell_finished(cell: Cell, record: Record) -> None:
    """Write a value and its standard error, or why there is none."""
    if _variable not in os.environ:
        return
    metric = title_of(cell.metric.name, cell.metric.settings, cell.metric.changed)
    tag = _tag(f"results/{metric}")
    with _writer(cell.fit) as writer:
        if record.value is None:
            writer.add_text(tag, f"{record.status}: {record.reason}")
            return
        writer.add_scalar(tag, record.value)
        if record.stderr is not None:
            writer.add_scalar(_tag(f"standard_errors/{metric}"), record.stderr)


def _writer(fit: Fit) -> Any:
    """Open a file of events of a fit.

    Raises:
        UsageError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UsageError(
            f"{_variable} is set, but TensorBoard is not installed: pip install 'generative-harness[tensorboard]'"
        ) from error
    titles = [title_of(each.name, each.settings, each.changed) for each in (fit.dataset, fit.model)]
    folders = [without(r"[/\\:]", each) for each in (*titles, f"seed {fit.seed}, {fit.key[:8]}")]
    return SummaryWriter(str(Path(os.environ[_variable], *folders)))


def _tag(title: str) -> str:
    return without(r"[^-/\w.]", title)
