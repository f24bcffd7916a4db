"""Workloads as ``harness compare`` times them, and data sets that need no download."""

from __future__ import annotations

from collections.abc import Mapping

from harness import Data, DataSource
from harness.cli.data import cache_dir, default_dataset
from harness.data.loading import load_dataset
from harness.planning.component import resolve_component
from harness.registry import Registry
from harness.regression import workloads
from harness.regression.workloads import Workload


def workload(work: str, settings: Mapping[str, Mapping[str, str]] | None = None, **request: object) -> Workload:
    """Prepare a workload; ``settings`` are values by component and name."""
    common = {"dataset": default_dataset, "device": "cpu", "data": None, "cache": str(cache_dir()), "plugins": []}
    return workloads.works[work]({**common, "settings": settings or {}, **request})


def dataset(name: str = default_dataset) -> Data:
    """Load a data set that is in the package."""
    chosen = resolve_component(Registry.load().get("dataset", name), {})
    return load_dataset(chosen.provided.spec, chosen.config, DataSource(None, cache_dir(), print))
