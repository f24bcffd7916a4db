"""What a process needs in order to carry out a run: its specification, and the context built from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from harness.contracts.engine import Engine
from harness.data.dataset import Data
from harness.data.loading import load_dataset
from harness.data.source import DataSource, Track, untracked
from harness.data.suspicions import suspicions
from harness.errors import DataError, no_exit
from harness.execution.events import Events
from harness.execution.failure import Failure, failure_of
from harness.execution.figures import sound_figures
from harness.execution.integrity import ChangedError, Fingerprint, Weights
from harness.execution.limits import Limits
from harness.execution.surroundings import restored
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.component import Component
from harness.planning.identity import hash_of
from harness.planning.plan import Fit, Plan, Request, StoredCells, build_plan
from harness.registry import Provided, Registry
from harness.results.checkpoint import FileCheckpoint
from harness.results.environment import Commit, Environment
from harness.results.store import Store

_mend = "use operations that return a new tensor, such as x * 2 instead of x.mul_(2)"
_looked_at = 16  # validation examples
_Seen = TypeVar("_Seen")


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
        only_at_hand: whether only data sets are available that need no download and no long computation.
    """

    specification: RunSpecification
    registry: Registry
    events: Events
    track: Track = untracked
    beat: Callable[[], None] = lambda: None
    examples: dict[str, int | None] = field(default_factory=dict)
    only_at_hand: bool = False
    _loaded: dict[str, Data | Failure] = field(default_factory=dict)
    _fingerprints: dict[str, Fingerprint] = field(default_factory=dict)
    _unavailable: dict[str, DataError] = field(default_factory=dict)
    _reported: list[tuple[set[str], set[str]]] = field(default_factory=list)
    # By the key of the fit and the function.
    _seen: dict[tuple[str, Callable[[nn.Module, Tensor], Any]], Any] = field(default_factory=dict)

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
        folders = self.specification.data_dir, self.specification.cache_dir
        return DataSource(*folders, self.events.announce, self.track, self.only_at_hand)

    def data(self, dataset: Component) -> Data | Failure:
        """Return a data set on the device, or why it is not available."""
        key = hash_of(dataset.identity)
        if key not in self._loaded:
            try:
                self._loaded[key] = data = self._load(dataset)
                self._fingerprints[key] = Fingerprint(data)
            except Exception as error:
                self._loaded[key] = failure_of(error)
                if isinstance(error, DataError):
                    self._unavailable[key] = error
        return self._loaded[key]

    def training_examples(self, dataset: Component) -> int | None:
        """Return the number of training examples of a data set, which is loaded unless another process has done so.

        It is None if the data set is not available.
        """
        key = hash_of(dataset.identity)
        if key not in self.examples:
            data = self.data(dataset)
            self.examples[key] = len(data.train) if isinstance(data, Data) else None
        return self.examples[key]

    def require_some(self, datasets: Sequence[Component]) -> None:
        """Load data sets, and warn about those that are not available, whose cells will fail.

        Data of the user's own are also warned of if they are probably not what was meant.

        Raises:
            DataError: all of them are missing, incomplete or corrupt.
        """
        for dataset in datasets:
            data = self.data(dataset)
            if isinstance(data, Data) and (dataset.content is not None or not dataset.provided.plugin.is_own):
                for line in suspicions(data):
                    self.events.warn(f"data set {dataset.name}: {line}")
        errors = [error for dataset in datasets if (error := self._unavailable.get(hash_of(dataset.identity)))]
        if errors and len(errors) == len(datasets):
            raise errors[0]
        for error in errors:
            self.events.warn(f"{error}; the run goes on with the other data sets")

    def _load(self, dataset: Component) -> Data:
        provided = dataset.provided
        # A data set that draws from global generators is then the same in every process of every run.
        seed = derive_seed("loading", hash_of(dataset.identity))
        guard = nullcontext() if provided.plugin.is_own else restored(self._reporting([provided]), seed)
        with no_exit(), global_seed(seed), guard:
            data = load_dataset(provided.spec, dataset.config, self.source)  # type: ignore[arg-type]
        dataset.require_same_content()
        return data.to(torch.device(self.specification.engine.device))

    def seen(self, fit: Fit, model: nn.Module, data: Data, look: Callable[[nn.Module, Tensor], _Seen]) -> _Seen | None:
        """Return what a function sees of a fitted model on some validation examples; it is called once for each fit.

        It is None if the model changed data or weights meanwhile, which is no fault of a metric that asks for less.
        """
        key = fit.key, look
        if key not in self._seen:
            split = data.validation
            x = split.subset(_looked_at).all(Noise(derive_seed("batches"), split.stored.device))
            self._seen[key] = None
            with suppress(ChangedError), self.guarded([fit.model.provided], fit.dataset, fit.key, model):
                self._seen[key] = look(model, x)
        found: _Seen | None = self._seen[key]
        return found

    @contextmanager
    def guarded(
        self, plugins: Sequence[Provided], dataset: Component, key: str, model: nn.Module | None = None
    ) -> Iterator[None]:
        """Run code of plugins within the block, and restore what it has changed that is not its own.

        Changes of seeds, the default dtype, threads, the folder and the environment are shown as warnings, once for
        each plugin. Around the project's own plugins, nothing is restored but data.

        Args:
            plugins: whose code runs, besides that of the data set.
            dataset: whose data it may reach; if they were changed, they are loaded again.
            key: of the fit or cell, from which the global generators of ``random`` and numpy are seeded.
            model: the model that it may reach, if any.

        Raises:
            ChangedError: data or weights were changed.
        """
        foreign = [each for each in (*plugins, dataset.provided) if not each.plugin.is_own]
        suspects = [each for each in plugins if each in foreign] or foreign or plugins
        fingerprint = self._fingerprints.get(hash_of(dataset.identity))
        if foreign and fingerprint is not None:
            _ = fingerprint.sums
        weights = Weights(model) if foreign and model is not None else None
        seed = derive_seed("other generators", key)
        found = []
        try:
            with restored(self._reporting(suspects), seed) if foreign else nullcontext():
                yield
        except ChangedError as error:
            found.append(str(error))
        finally:
            found += self._restore_data(dataset)
            lost = weights.restore() if weights is not None else []
            found += [f"{', '.join(lost)} of the model"] if lost else []
        if found:
            raise ChangedError(f"{_named(suspects)} changed {', '.join(found)} in place; {_mend}")

    def _reporting(self, suspects: Sequence[Provided]) -> Callable[[dict[str, str]], None]:
        """Return a function that warns of what plugins have changed around them, unless it was said before."""

        def report(changes: dict[str, str]) -> None:
            found = ({each.plugin.name for each in suspects}, set(changes))
            if changes and found not in self._reported:
                self._reported.append(found)
                self.events.warn(f"{_named(suspects)} changed {', '.join(changes.values())}; this was restored")

        return report

    def _restore_data(self, dataset: Component) -> list[str]:
        """Load data again that have been changed, and return the names of what was changed."""
        key = hash_of(dataset.identity)
        fingerprint = self._fingerprints.get(key)
        found = fingerprint.changed() if fingerprint is not None else []
        if found and fingerprint is not None:
            del self._loaded[key], self._fingerprints[key]
            data = self.data(dataset)
            if isinstance(data, Data) and not fingerprint.is_of(data):
                lost = f"{dataset.provided.title} was changed, and load() returned other data when it was called again"
                self._loaded[key] = Failure("error", lost)
                del self._fingerprints[key]
        return found

    def checkpoint(self, keys: Sequence[str], announce: Callable[[str], None], work: str = "fit") -> FileCheckpoint:
        """Return the checkpoint of fits that are trained together, or of a cell; an empty one for a fresh run."""
        checkpoint = FileCheckpoint(self.store.checkpoint_file(keys), announce, work)
        if self.specification.fresh:
            checkpoint.remove()
        return checkpoint


def _named(plugins: Sequence[Provided]) -> str:
    return " or ".join(each.title for each in plugins)
