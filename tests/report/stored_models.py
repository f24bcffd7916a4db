"""A small store with boards of every kind, for the tests of the page."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from stored_results import described_fit, engine

from harness.contracts.events import Record, Values
from harness.planning.identity import hash_of
from harness.results.store import Store

environment = {"python": "3.11", "distributions": {"torch": "2.11"}}


def component(name: str, settings: dict[str, Any] | None = None, changed: Sequence[str] = ()) -> dict[str, Any]:
    given = {"name": name, "distribution": "generative-harness", "version": "1", "plugin_version": "1.0"}
    return {**given, "settings": settings or {}, "changed": list(changed)}


def record(model: str, metric: str, value: float | None, seed: int = 0, **changes: Any) -> Record:
    """Return the record of a cell; without a value it is n/a."""
    found = value is not None
    fields: dict[str, Any] = {
        "cell_key": f"{model}-{metric}-{seed}-{changes.get('split', 'test')}",
        "fit_key": f"{model}-{seed}",
        "dataset": component("digits"),
        "model": component(model, {"latent_dim": 20}),
        "metric": component(metric, {"samples": 1}),
        "seed": seed,
        "budget": {"epochs": 4, "batch_size": 128, "weights": "last"},
        "engine": engine,
        "machine": None,
        "split": "test",
        "evaluation_seed": 0,
        "status": "ok" if found else "n/a",
        "reason": None if found else "it has no posterior",
        "value": value,
        "stderr": 0.5 if found else None,
        "n": 2000 if found else None,
        "counted": "test examples" if found else None,
        "unit": "nats" if found else None,
        "direction": "higher" if found else None,
        "measure": "probability mass on binary pixels" if found else None,
        "environment": hash_of(environment),
        "ended": "2026-11-26T02:00:00+00:00",
    }
    return Record(**{**fields, **changes})


def exact(model: str, metric: str, value: float, seed: int = 0, **changes: Any) -> Record:
    """Return the record of a count, which is exact."""
    given = {"stderr": 0.0, "n": None, "counted": None, "unit": "count", "direction": "lower", "measure": None}
    return record(model, metric, value, seed, **given | changes)


def picture(seed: int = 0, width: int = 400, height: int = 300) -> bytes:
    """Return a picture of noise, which cannot be compressed well."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def write_fit(store: Store, key: str, epochs: int = 4, shift: float = 0.0) -> None:
    losses = [200 / (epoch + 1) + 100 + shift for epoch in range(epochs)]
    curves = {
        "train": {"negative ELBO": losses},
        "validation": {"negative ELBO": [loss + 3 for loss in losses]},
        "seconds": [1.25] * epochs,
        "steps": 10 * epochs,
    }
    store.write_fit(key, described_fit(seconds=6.0, parameters=1234, curves=curves), None)


def append_all(store: Store, records: Iterable[Record]) -> None:
    """Append many records without waiting for the disk after each."""
    store.root.mkdir(parents=True, exist_ok=True)
    with store.records_file.open("a") as file:
        file.writelines(json.dumps(dataclasses.asdict(each)) + "\n" for each in records)


def small_store(root: Path) -> Store:
    """Return a store with three models on two data sets, with every kind of row, fits and figures."""
    store = Store(root)
    ids, noise = np.arange(50), np.random.default_rng(0).normal(size=50)
    cats = {"dataset": component("cats"), "unit": None, "measure": None, "direction": "lower"}
    for place, model in enumerate(("vae", "iwae")):
        for seed in range(3):
            value = -100.25 + 2 * place + seed / 4
            values = Values(ids, value + noise - noise.mean())
            store.append(record(model, "elbo", value, seed, parts={"kl": 25.5 + place}, n=50), values)
            store.append(exact(model, "parameters", 1000.0 * (place + 1), seed))
            write_fit(store, f"{model}-{seed}", shift=10 * place + seed)
        store.write_figure(f"{model}-0", "samples", picture(place, 120, 90))
    store.append(exact("pca", "parameters", 700.0, budget=None))
    store.append(record("pca", "elbo", None, budget=None))
    store.append(record("gan", "elbo", None, status="error", reason="it ran out of luck"))
    store.append(record("vae", "fid", 31.4159, fit_key="vae-of-cats", **cats))
    store.append(record("iwae", "fid", 27.1828, fit_key="iwae-of-cats", **cats))
    store.write_environment(hash_of(environment), environment)
    return store


class Page(HTMLParser):
    """The elements and the text of a page: tags with their attributes, and what a reader can see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
