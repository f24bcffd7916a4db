"""Loads a data set with its transform."""

from __future__ import annotations

import dataclasses
from typing import Any, cast

from harness.data.dataset import Data
from harness.data.source import DataSource
from harness.errors import no_exit
from harness.settings import config_type
from harness.specs import DatasetSpec, Spec, resolve


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
    with no_exit():
        data = spec.resolve()(config).load(source)
    if not isinstance(data, Data):
        raise TypeError(f"load() of data set {spec.name!r} returned {type(data).__name__}; return harness.Data")
    return data if spec.transform is None else cast("Data", resolve(spec.transform)(config).apply(data))
