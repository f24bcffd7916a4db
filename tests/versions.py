"""Stored results of two versions, for tests that compare them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from harness import Record
from harness.contracts.events import Values
from harness.planning.identity import hash_of
from harness.regression.quality import Side
from harness.results.store import Store

Cell = tuple[Record, Values | None]


def component(name: str, version: str = "1", changed: tuple[str, ...] = (), **settings: Any) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": "generative-harness",
        "version": version,
        "settings": settings,
        "changed": list(changed),
        "plugin_version": "0.3.0",
    }


def cell(seed: int = 0, value: float | None = -100.0, values: np.ndarray | None = None, **changes: Any) -> Cell:
    """Return the record of the ELBO of a VAE and its per-example values, if any; ``changes`` are fields of the record.

    With ``values`` and no ``value``, the value is their mean, and its standard error that of the mean.
    """
    if values is not None:
        value = float(values.mean()) if value == -100.0 else value
        changes = {"stderr": float(values.std(ddof=1)) / len(values) ** 0.5, "n": len(values), **changes}
    fields = {
        "fit_key": "fit",
        "dataset": component("digits", binarization="dynamic"),
        "model": component("vae", latent_dim=2),
        "metric": component("elbo", samples=1),
        "seed": seed,
        "budget": {"epochs": 20, "batch_size": 128, "weights": "last"},
        "engine": {"device": "cpu", "threads": 1, "precision": "float32", "path": "single", "deterministic": True},
        "machine": None,
        "split": "test",
        "evaluation_seed": 0,
        "status": "ok",
        "value": value,
        "counted": "test examples",
        "unit": "nats",
        "direction": "higher",
        "measure": "probability mass on binary pixels",
        "ended": "2026-11-25T12:00:00+00:00",
        **changes,
    }
    key = hash_of(
        [fields[name] for name in ("dataset", "model", "metric", "seed", "budget", "engine", "machine", "split")]
    )
    kept = None if values is None else Values(np.arange(len(values)), np.asarray(values, dtype=np.float64))
    return Record(cell_key=key, **fields), kept


def failing(seed: int = 0, status: str = "error", reason: str = "ZeroDivisionError: by design", **changes: Any) -> Cell:
    """Return the record of a cell without a value."""
    nothing = {"unit": None, "direction": None, "measure": None, "counted": None}
    return cell(seed, None, status=status, reason=reason, **{**nothing, **changes})


def store_of(folder: Path, cells: Iterable[Cell]) -> Store:
    """Write cells to a store."""
    store = Store(folder)
    for record, values in cells:
        store.append(record, values)
    return store


def side_of(folder: Path, cells: Iterable[Cell]) -> Side:
    """Write cells to a store, and return it as one of two versions."""
    store = store_of(folder, cells)
    return Side(store.records(), store.values)
