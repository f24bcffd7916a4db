"""Descriptions of fits as a run stores them, for tests that write fits by hand."""

from __future__ import annotations

from typing import Any

engine = {"device": "cpu", "threads": 1, "precision": "float32", "path": "single", "deterministic": True}


def described_fit(**changes: Any) -> dict[str, Any]:
    """Return the description of a fit in closed form; ``changes`` are fields of it."""
    kinds = {
        kind: {"name": kind, "distribution": "generative-harness", "version": "1", "settings": {}}
        for kind in ("dataset", "model")
    }
    return {
        "identity": {**kinds, "seed": 0, "budget": None, "engine": engine, "machine": None},
        "status": "ok",
        "reason": None,
        "seconds": 1.0,
        "curves": {"train": {}, "validation": {}, "seconds": [], "steps": 0},
        **changes,
    }
