"""``harness.open``: stored results and fitted models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.api.options import Names, PathLike, data_folder, in_words, names_of, path_of
from harness.api.plugins import Plugins
from harness.api.results import BoardTable, Results
from harness.api.torch_state import restored_torch
from harness.cli.data import cache_dir, show_bar
from harness.cli.output import notice, warn
from harness.cli.stored import selected
from harness.errors import StoreError, UsageError
from harness.registry import Registry, in_memory
from harness.results.curation import shown_records
from harness.results.store import Store
from harness.specs import Spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness.contracts.curves import Curves
    from harness.data.dataset import Data
    from harness.data.source import DataSource
    from harness.planning.component import Component
    from harness.planning.plan import Fit
    from harness.results.reproduction import Reproduction

_many = 5  # keys; more are counted


@dataclass(frozen=True)
class StoredFit:
    """A model that was trained on a data set from a seed.

    Args:
        key: names the fit; its unique beginning is enough.
        model: name.
        dataset: name.
        seed: of the training.
        status: ``ok`` or ``diverged``.
        settings: of the model, by name.
        dataset_settings: by name.
        budget: how long it was trained, or None for a fit in closed form.
        parameters: how many numbers were fitted, or None if that is not known.
        seconds: how long the fit took, together with the seeds that were trained as one with it.
        ended: when it ended, in UTC and ISO 8601.
    """

    key: str
    model: str
    dataset: str
    seed: int
    status: str
    settings: Mapping[str, Any]
    dataset_settings: Mapping[str, Any]
    budget: Mapping[str, Any] | None
    parameters: int | None
    seconds: float | None
    ended: str | None


def open(  # noqa: A001 -- called as harness.open
    runs: PathLike = "runs",
    *,
    plugins: Sequence[PathLike | type | Spec] = (),
    device: Literal["auto", "cpu", "cuda"] = "auto",
    data_dir: PathLike | None = None,
) -> StoredRuns:
    """Open a folder of results.

    Args:
        runs: the folder.
        plugins: as of ``harness.run``: those that the stored fits need, beside the installed ones.
        device: where fitted models are loaded.
        data_dir: folder with the full data sets; None stands for HARNESS_DATA_DIR, or a download.

    Raises:
        UsageError: there is no such folder, or a plugin has a problem.
    """
    folder = path_of("runs", runs)
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}; harness.run(..., runs={str(folder)!r}) creates it")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r}: write auto, cpu or cuda")
    return StoredRuns(folder, Plugins.of(plugins).registry(), device, data_folder(data_dir))


class StoredRuns:
    """The results and the fitted models in a folder, which is read anew at each call.

    Args:
        folder: of the results.
        registry: the plugins.
        device: where fitted models are loaded.
        data_dir: the user's folder of data sets, or None.
    """

    def __init__(self, folder: Path, registry: Registry, device: str, data_dir: Path | None) -> None:
        self.folder = folder
        self._registry = registry
        self._device = device
        self._data_dir = data_dir
        self._store = Store(folder, warn)
        self._data: dict[str, Data] = {}

    def __repr__(self) -> str:
        return f"{self.folder}: {len(self._store.fit_keys())} fits, {len(self._store.records())} results"

    def fits(self) -> list[StoredFit]:
        """Return all fits, sorted by data set, model and seed."""
        described = {key: self._store.fit(key) for key in self._store.fit_keys()}
        found = [_stored_fit(key, each) for key, each in described.items() if each is not None]
        return sorted(found, key=lambda fit: (fit.dataset, fit.model, fit.seed, fit.key))

    def results(self) -> Results:
        """Return the results that boards show: the latest of each cell that is not hidden."""
        return Results(shown_records(self._store), self._store)

    def boards(self, *, dataset: Names = (), metric: Names = ()) -> list[BoardTable]:
        """Return the boards of all results, or of those of some data sets and metrics.

        Raises:
            UsageError: there is no result with one of the names.
        """
        wanted = {kind: names_of(kind, names) for kind, names in (("dataset", dataset), ("metric", metric))}
        return Results(selected(shown_records(self._store), wanted, self.folder), self._store).boards

    def load(self, fit_key: str) -> nn.Module:
        """Return a fitted model, in evaluation mode.

        Args:
            fit_key: the key of the fit or its unique beginning, as in ``fits()`` and in records.

        Raises:
            UsageError: there is no such fit, or there are several; it diverged; or its model or data set is not there
                any more, or is of another version.
            DataError: the data set, from which the model is built, is missing, incomplete or corrupt.
            StoreError: the weights are missing or damaged.
        """
        from harness.execution.obtain_model import load_model
        from harness.machine.device import prepare_torch

        key, described = self._described(fit_key)
        if described["status"] != "ok":
            raise UsageError(f"fit {key[:12]} has no model: {described['status']}, {described['reason']}")
        fit = self._fit(key, described)
        with restored_torch():
            device = prepare_torch(self._device)
            data = self._loaded(fit.dataset).to(device)
            try:
                return load_model(fit, data, self._store)
            except StoreError:
                raise
            except Exception as error:
                text = " ".join(str(error).split())
                raise UsageError(f"fit {key[:12]} cannot be loaded: {type(error).__name__}: {text}") from error

    def curves(self, fit_key: str) -> Curves:
        """Return the losses of a fit by epoch. The arguments and errors are those of ``load``."""
        from harness.contracts.curves import Curves

        return Curves(**self._described(fit_key)[1]["curves"])

    def sample(self, fit_key: str, n: int, seed: int = 0) -> Tensor:
        """Draw samples from a fitted model.

        Args:
            fit_key: as of ``load``.
            n: how many.
            seed: of the random numbers; equal seeds give equal samples on a device.

        Returns:
            The samples, ``(n, *shape)`` on the CPU, on the scale of the data.

        Raises:
            UsageError: as of ``load``; or the model cannot sample, or ``n`` is not a number of samples.
        """
        import torch

        from harness.contracts.models import Samples, lacking
        from harness.noise import Noise, derive_seed, global_seed

        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise UsageError(f"n={n!r}: write a whole number that is at least 1")
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise UsageError(f"seed={seed!r}: write a whole number that is at least 0")
        key, _ = self._described(fit_key)
        model: Any = self.load(key)
        if (reason := lacking(model, [Samples])) is not None:
            raise UsageError(f"fit {key[:12]} cannot be sampled from: {reason}")
        tensor = next((each for each in model.state_dict().values()), torch.empty(0))
        stream = derive_seed("samples of a stored fit", seed)
        with torch.no_grad(), global_seed(stream):
            samples: Tensor = model.sample(n, Noise(stream, tensor.device))
        return samples.cpu()

    def reproduce(self, cell_key: str) -> Reproduction:
        """Compute a stored result again from its record alone, and compare it; the store stays as it is.

        Args:
            cell_key: the key of the cell, as in records, or its unique beginning.

        Raises:
            UsageError: there is no such result, or there are several; what its record names is not there, or is not
                what it was; or it is a timing of a class in memory, which other processes do not have.
            DataError: the data set is missing, incomplete or corrupt.
            StoreError: a file could not be written.
            KeyboardInterrupt: it was interrupted.
        """
        from harness.cli.reproduce import record_with, reproduced

        if not isinstance(cell_key, str):
            raise UsageError(f"cell_key: write the key of a cell, such as record.cell_key, not {in_words(cell_key)}")
        record = record_with(cell_key, self._store)
        sources = {each["distribution"] for each in (record.dataset, record.model, record.metric)}
        if record.machine is not None and in_memory in sources:
            raise UsageError(
                f"{record.metric['name']} is timed in fresh processes, which do not have classes in memory"
            )
        with restored_torch():
            found = reproduced([record], self._store, self._registry, self._data_dir, jobs=1)
        if not found:
            raise KeyboardInterrupt
        return found[0]

    def _described(self, fit_key: str) -> tuple[str, dict[str, Any]]:
        """Return the whole key of a fit and its description.

        Raises:
            UsageError: there is no such fit, or there are several.
        """
        if not isinstance(fit_key, str):
            raise UsageError(f"fit_key: write the key of a fit, such as fits()[0].key, not {in_words(fit_key)}")
        keys = self._store.fit_keys()
        found = [key for key in keys if key.startswith(fit_key)] if fit_key else []
        if len(found) > 1 and fit_key not in found:
            listed = ", ".join(found[:_many]) + ("" if len(found) <= _many else f" and {len(found) - _many} more")
            raise UsageError(f"{len(found)} fits in {self.folder} begin with {fit_key!r}: {listed}")
        described = self._store.fit(found[0]) if found else None
        if described is None:
            raise UsageError(
                f"no fit in {self.folder} has a key that begins with {fit_key!r}; fits() lists all {len(keys)}"
            )
        return (fit_key if fit_key in found else found[0]), described

    def _fit(self, key: str, described: Mapping[str, Any]) -> Fit:
        from harness.planning.plan import fit_from

        try:
            return fit_from(described, self._registry, self._source)
        except UsageError as error:
            identity = described["identity"]
            sources = dict.fromkeys(identity[kind]["distribution"] for kind in ("model", "dataset"))
            needed = [f"the file {each}" for each in sources if each.endswith(".py")]
            needed += ["the class that was passed to harness.run"] * (in_memory in sources)
            hint = f". It was fitted with {' and '.join(needed)}: pass it as plugins=[...]" if needed else ""
            raise UsageError(f"fit {key[:12]} cannot be loaded: {str(error).rstrip('.')}{hint}") from None

    @property
    def _source(self) -> DataSource:
        from harness.data.source import DataSource

        return DataSource(self._data_dir, cache_dir(), notice, show_bar)

    def _loaded(self, dataset: Component) -> Data:
        from harness.data.loading import load_dataset
        from harness.planning.identity import hash_of

        key = hash_of(dataset.identity)
        if key not in self._data:
            self._data[key] = load_dataset(dataset.provided.spec, dataset.config, self._source)  # type: ignore[arg-type]
            dataset.require_same_content()
        return self._data[key]


def _stored_fit(key: str, described: Mapping[str, Any]) -> StoredFit:
    identity = described["identity"]
    return StoredFit(
        key,
        identity["model"]["name"],
        identity["dataset"]["name"],
        identity["seed"],
        described["status"],
        identity["model"]["settings"],
        identity["dataset"]["settings"],
        identity["budget"],
        described.get("parameters"),
        described.get("seconds"),
        described.get("ended"),
    )
