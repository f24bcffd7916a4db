"""A store with every kind of file, and all that can be read from it; for tests that damage one of the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from stored_results import described_fit
from versions import cell, component

from harness.contracts.events import Values
from harness.errors import StoreError
from harness.planning.identity import hash_of
from harness.results.checkpoint import FileCheckpoint
from harness.results.curation import hide, shown_records, title_key, write_titles
from harness.results.store import Store

environment = {"python": "3.11", "distributions": {"torch": "2.11"}}
kinds = {
    "records": "records.jsonl",
    "values": "values/*.npz",
    "fits": "fits/one/fit.json",
    "weights": "fits/one/weights.safetensors",
    "samples": "fits/one/snapshots.safetensors",
    "figures": "fits/one/figures/a.png",
    "digests of figures": "fits/one/figures/a.png.sha256",
    "checkpoints": "checkpoints/*.pt",
    "environments": "environments/*.json",
    "hidden cells": "hidden.json",
    "titles": "titles.json",
}


def weights(seed: int) -> dict[str, torch.Tensor]:
    return {"w": torch.randn(5, 7, generator=torch.Generator().manual_seed(seed)), "b": torch.arange(3)}


def filled(root: Path) -> Store:
    """Return a store with every kind of file."""
    store, noise = Store(root), np.random.default_rng(0)
    for place, model in enumerate(("vae", "iwae", "pca")):
        values = noise.normal(size=30)
        record, _ = cell(place, values=values, model=component(model), environment=hash_of(environment))
        written = store.append(record, Values(np.arange(30), values))
    hide(store, {written.cell_key})
    write_titles(store, {title_key(written.model): "PCA, k = ½"})
    for seed, key in enumerate(("one", "two")):
        curves = {"train": {"loss": [3.5, 2.25]}, "validation": {"loss": [3.0, 2.0]}, "seconds": [1.0, 1.0], "steps": 2}
        store.write_fit(key, described_fit(curves=curves), weights(seed), {1: torch.rand(2, 3), 2: torch.rand(2, 3)})
        store.write_figure(key, "a", noise.bytes(200))
    store.write_environment(hash_of(environment), environment)
    checkpoint(store, []).save({"weights": weights(0), "epoch": 3, "losses": [1.5, 0.1]}, "epoch 3")
    return store


def checkpoint(store: Store, seen: list[str]) -> FileCheckpoint:
    return FileCheckpoint(store.checkpoint_file(["one"]), seen.append)


def everything(root: Path) -> tuple[dict[str, Any], list[str]]:
    """Return all that a store has, as it is read, and what was said meanwhile."""
    seen: list[str] = []
    store = Store(root, seen.append)
    found: dict[str, Any] = {"shown": shown_records(store), "records": store.records()}
    for record in found["records"]:
        try:
            values = store.values(record)
            found[f"values {record.cell_key}"] = values and (values.ids.tolist(), values.values.tolist())
        except StoreError as error:
            seen.append(str(error))
    for key in ("one", "two"):
        found[f"fit {key}"] = store.fit(key)
        try:
            found[f"weights {key}"] = {name: each.tolist() for name, each in store.weights(key).items()}
            found[f"samples {key}"] = {epoch: each.tolist() for epoch, each in store.snapshots(key).items()}
        except StoreError as error:
            seen.append(str(error))
        found[f"figures {key}"] = [path.read_bytes() for path in store.figures(key)]
    found["environment"] = store.environment(hash_of(environment))
    state = checkpoint(store, seen).load()
    found["checkpoint"] = state and {**state, "weights": {name: w.tolist() for name, w in state["weights"].items()}}
    return found, [line for line in seen if not line.startswith("resuming")]
