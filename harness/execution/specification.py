"""What a process needs in order to carry out a run: its specification, and the context built from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from harness.contracts.engine import Engine
from harness.data.dataset import Data
from harness.data.loading import load_dataset
from harness.data.source import DataSource, Track, untracked
from harness.errors import DataError, no_exit
from harness.execution.events import Events
from harness.execution.failure import Failure, failure_of
from harness.execution.figures import sound_figures
from harness.execution.limits import Limits
from harness.planning.component import Component
from harness.planning.identity import hash_of
from harness.planning.plan import Plan, Request, StoredCells, build_plan
from harness.registry import Provided, Registry
from harness.results.checkpoint import FileCheckpoint
from harness.results.environment import Commit, Environment
from harness.results.store import Store


@dataclass(frozen=True)
class RunSpecification:
    """A run as data that can be sent to another process, which then does exactly what this one would do.

    Args:
        request: what the user asked for.
        plugin_files: plugins that are loaded beside those installed.
        engine: how models are trained.
        environment: the software and the machine.
        commit: of the folder that the run was started in.
        store: the folder of results.
        data_dir: the user's folder of data sets, or None.
        cache_dir: the harness's own folder.
        fresh: whether to compute again what is stored.
        figures: whether to draw the figures of each fit.
        timing_rounds: how many times each timing is taken, each time in a fresh process; at least 2.
        limits: what a fit or a measurement may take.
    """

    request: Request | StoredCells
    plugin_files: tuple[Path, ...]
    engine: Engine
    environment: Environment
    commit: Commit
    store: Path
    data_dir: Path | None
    cache_dir: Path
    fresh: bool = False
    figures: bool = True
    timing_rounds: int = 5
    limits: Limits = field(default_factory=Limits)

    def plan(self, registry: Registry) -> Plan:
        """Return the plan of the run.

        Raises:
            UsageError: something in the request is wrong.
        """
        source = DataSource(self.data_dir, self.cache_dir, lambda line: None)
        return build_plan(self.request, registry, self.engine, self.environment.machine, source)


@dataclass
class WorkerContext:
    """What work is done with in one process: the specification, the plugins, and data sets once they are loaded.

    Args:
        specification: of the run.
        registry: the plugins.
        events: where progress and outcomes go.
        track: shows the progress of what takes long while data are loaded.
        beat: is called with each step of training, and whenever a metric reports progress.
        examples: the number of training examples of data sets that other processes have loaded, None if it is not
            known, by the hash of their identities.
    """

    specification: RunSpecification
    registry: Registry
    events: Events
    track: Track = untracked
    beat: Callable[[], None] = lambda: None
    examples: dict[str, int | None] = field(default_factory=dict)
    _loaded: dict[str, Data | Failure] = field(default_factory=dict)

    @cached_property
    def figures(self) -> list[Provided]:
        """The figures that keep their contract; the run has warned of the others."""
        return sound_figures(self.registry, lambda line: None)

    @property
    def store(self) -> Store:
        """The results."""
        return Store(self.specification.store, self.events.warn)

    @property
    def source(self) -> DataSource:
        """Where data come from."""
        return DataSource(self.specification.data_dir, self.specification.cache_dir, self.events.announce, self.track)

    def data(self, dataset: Component) -> Data | Failure:
        """Return a data set on the device, or why it is not available.

        Raises:
            DataError: it is missing, incomplete or corrupt.
        """
        key = hash_of(dataset.identity)
        if key not in self._loaded:
            try:
                with no_exit():
                    data = load_dataset(dataset.provided.spec, dataset.config, self.source)  # type: ignore[arg-type]
                dataset.require_same_content()
                self._loaded[key] = data.to(torch.device(self.specification.engine.device))
            except DataError:
                raise
            except Exception as error:
                self._loaded[key] = failure_of(error)
        return self._loaded[key]

    def training_examples(self, dataset: Component) -> int | None:
        """Return the number of training examples of a data set, which is loaded unless another process has done so.

        Raises:
            DataError: it is missing, incomplete or corrupt.
        """
        key = hash_of(dataset.identity)
        if key not in self.examples:
            data = self.data(dataset)
            self.examples[key] = len(data.train) if isinstance(data, Data) else None
        return self.examples[key]

    def checkpoint(self, keys: Sequence[str], announce: Callable[[str], None], work: str = "fit") -> FileCheckpoint:
        """Return the checkpoint of fits that are trained together, or of a cell; an empty one for a fresh run."""
        checkpoint = FileCheckpoint(self.store.checkpoint_file(keys), announce, work)
        if self.specification.fresh:
            checkpoint.remove()
        return checkpoint
