"""``harness.evaluate``: metrics of a model in memory, without a store."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from harness.api.options import Names, PathLike, Settings, assignments_of, data_folder, in_words, names_of
from harness.api.plugins import Plugins, name_of_class, provide
from harness.api.results import Results
from harness.api.torch_state import restored_torch
from harness.cli.data import cache_dir
from harness.cli.settings import parse_assignments
from harness.contracts.engine import Engine
from harness.contracts.events import EvaluationSplit, evaluation_splits
from harness.errors import UsageError
from harness.registry import Plugin, Provided, Registry, in_memory
from harness.settings import NoSettings
from harness.specs import DatasetSpec, ModelSpec, Spec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness.contracts.events import Record
    from harness.data.dataset import Data
    from harness.data.source import DataSource
    from harness.execution.events import Events
    from harness.execution.specification import WorkerContext
    from harness.planning.plan import Cell

_data_name = "in-memory-data"


def evaluate(
    model: nn.Module,
    data: Data | str,
    metrics: Names,
    *,
    name: str | None = None,
    settings: Settings | None = None,
    split: EvaluationSplit = "test",
    evaluation_seed: int = 0,
    threads: int = 1,
    data_dir: PathLike | None = None,
    plugins: Sequence[PathLike | type | Spec] = (),
    quiet: bool = False,
) -> Results:
    """Measure a model that is in memory, and store nothing.

    The values are those that ``harness.run`` gets from the same weights, on the same device, with the same evaluation
    seed and threads. The model stays on its device, and its mode and its gradients are left as they are.

    Args:
        model: with the methods of the capabilities that the metrics need, such as ``reconstruct`` or ``sample``.
        data: a data set, or the name of one.
        metrics: names.
        name: of the model on the board; by default after its class.
        settings: of the metrics and the data set, as of ``harness.run``.
        split: which split is measured.
        evaluation_seed: of the metrics' random numbers.
        threads: CPU threads.
        data_dir: folder with the full data sets; None stands for HARNESS_DATA_DIR, or a download.
        plugins: as of ``harness.run``.
        quiet: show only warnings and failures.

    Raises:
        UsageError: an argument is unknown, of the wrong type or out of range, or a metric is a timing.
        DataError: the data set is missing, incomplete or corrupt.
    """
    from torch import nn

    from harness.cli.progress import reporter_for
    from harness.data.dataset import Data
    from harness.execution.specification import RunSpecification, WorkerContext
    from harness.machine.device import prepare_torch
    from harness.planning.component import Component
    from harness.planning.plan import Cell, Fit, Request, resolved
    from harness.results.environment import describe_commit, describe_environment

    if not isinstance(model, nn.Module):
        raise UsageError(f"model is of type {type(model).__name__}; pass an object of a torch.nn.Module")
    if not isinstance(data, Data | str):
        raise UsageError(f"data is of type {type(data).__name__}; pass a harness.Data or the name of a data set")
    if split not in evaluation_splits:
        raise UsageError(f"split={split!r}: write {' or '.join(evaluation_splits)}")
    for argument, number, least in (("evaluation_seed", evaluation_seed, 0), ("threads", threads, 1)):
        if isinstance(number, bool) or not isinstance(number, int) or number < least:
            raise UsageError(f"{argument}={number!r}: write a whole number that is at least {least}")
    if not isinstance(name, str | None):
        raise UsageError(f"name: write a text, not {in_words(name)}")
    names = tuple(dict.fromkeys(names_of("metrics", metrics)))
    if not names:
        raise UsageError("metrics: name at least one")
    registry = Plugins.of(plugins).registry()
    data_name = data if isinstance(data, str) else _provide(data, registry)
    assignments = parse_assignments(assignments_of(settings))
    request = Request((), names, (data_name,), settings=assignments, split=split, evaluation_seed=evaluation_seed)
    with restored_torch(), tempfile.TemporaryDirectory(prefix="harness-") as folder, _same_modes(model):
        device = prepare_torch(_device_of(model).type)
        engine = Engine(device.type, threads)
        specification = RunSpecification(
            request,
            (),
            engine,
            describe_environment(device),
            describe_commit(),
            Path(folder),
            data_folder(data_dir),
            cache_dir(),
            figures=False,
        )
        specification.plan(registry)  # checks the request
        given = Component(Provided(_spec_of(model, name), Plugin(in_memory, in_memory, "0")), NoSettings())
        cells = [
            Cell(Fit(dataset, given, 0, None, engine), metric, None, split, evaluation_seed)
            for dataset in resolved("dataset", request.datasets, request, registry)
            for metric in resolved("metric", request.metrics, request, registry)
        ]
        _refuse_timings(cells)
        with reporter_for(len(cells), quiet=quiet) as reporter:
            # Of the events of a run, a measurement only has messages.
            context = WorkerContext(specification, registry, cast("Events", reporter))
            records = []
            for cell in cells:
                records.append(_record_of(cell, model, context))
                reporter.cell_reported(cell, records[-1])
    return Results(records, context.store)


def _record_of(cell: Cell, model: nn.Module, context: WorkerContext) -> Record:
    from harness.data.dataset import Data
    from harness.execution.failure import Failure
    from harness.execution.measure import measure
    from harness.execution.records import record_without_value

    data = context.data(cell.fit.dataset)
    if cell.lacking is not None:
        return record_without_value(cell, Failure("n/a", cell.lacking), context.specification)
    if not isinstance(data, Data):
        return record_without_value(cell, data, context.specification)
    record, _ = measure(cell, model, data, context)
    return replace(record, depends_on_seed=False)  # a model in memory has no seed


def _refuse_timings(cells: Sequence[Cell]) -> None:
    for cell in cells:
        if getattr(cell.metric.factory, "times_the_machine", False):
            raise UsageError(
                f"{cell.metric.name} is timed in turn with other models, in fresh processes; use harness.run"
            )


def _provide(data: Data, registry: Registry) -> str:
    """Register data in memory as a data set, and return its name."""
    from harness.toolkit import digest_of

    class InMemory:
        """The data that was passed."""

        def __init__(self, config: NoSettings) -> None:
            pass

        def load(self, source: DataSource) -> Data:
            return data

    version = digest_of({name: split.stored for name, split in data.splits.items()})[:12]
    spec = DatasetSpec(_data_name, InMemory, "data that was passed to harness.evaluate", version)
    provide(registry, [spec])
    return _data_name


def _spec_of(model: nn.Module, name: str | None) -> ModelSpec:
    """Return the spec of a model in memory, whose version is a digest of its parameters and buffers."""
    import torch

    from harness.toolkit import digest_of

    state = {key: value for key, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    try:
        return ModelSpec(name or name_of_class(type(model)), model, "", digest_of(state)[:12])
    except ValueError as error:
        raise UsageError(str(error)) from None


def _device_of(model: nn.Module) -> torch.device:
    import torch

    return next(itertools.chain(model.parameters(), model.buffers()), torch.empty(0)).device


@contextmanager
def _same_modes(model: nn.Module) -> Iterator[None]:
    """Put every part of a model back into training or evaluation mode after the block, as it was before."""
    modes = [(part, part.training) for part in model.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
