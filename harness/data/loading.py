"""Loads a data set with its transform."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

import torch

from harness.data.dataset import Data
from harness.data.source import DataSource
from harness.errors import DataError, no_exit
from harness.noise import Noise
from harness.settings import config_type
from harness.specs import DatasetSpec, Spec, resolve

_looked_at = 100  # examples of each split, to find inputs that are not finite


def dataset_config_type(spec: Spec) -> type:
    """Return the settings of a data set and of its transform as one dataclass."""
    base = config_type(spec.resolve())
    transform = cast("DatasetSpec", spec).transform
    if transform is None:
        return base
    bases = (config_type(resolve(transform)), base)
    return dataclasses.make_dataclass("Config", [], bases=bases, frozen=True)


def load_dataset(spec: DatasetSpec, config: Any, source: DataSource) -> Data:
    """Load a data set and apply its transform.

    Raises:
        DataError: the data is missing, incomplete or corrupt.
        NotApplicable: the transform cannot be applied to this data.
        TypeError: the data set returns something else than data.
    """
    try:
        with no_exit():
            data = spec.resolve()(config).load(source)
        if not isinstance(data, Data):
            raise TypeError(f"load() of data set {spec.name!r} returned {type(data).__name__}; return harness.Data")
        data = data if spec.transform is None else cast("Data", resolve(spec.transform)(config).apply(data))
        _require_finite(data)
    except DataError as error:
        raise DataError(f"data set {spec.name}: {error}") from error
    return data


def _require_finite(data: Data) -> None:
    """Look at the first inputs of each split.

    Raises:
        DataError: some are not finite.
    """
    for name, split in data.splits.items():
        found = split.batch(torch.arange(min(_looked_at, len(split))), Noise(0))
        if not bool(found.isfinite().all()):
            raise DataError(f"the {name} split has inputs that are not finite")
