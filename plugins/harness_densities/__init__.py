"""Models whose density is exact: mixtures and flows."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the models of exact density."""
    return []
