"""Models that carry noise to data in many small steps: diffusion and flow matching."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide diffusion and flow matching."""
    return []
