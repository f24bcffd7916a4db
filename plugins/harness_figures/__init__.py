"""Pictures of fits."""

from __future__ import annotations

from harness import FigureSpec, hookimpl


@hookimpl
def harness_figures() -> list[FigureSpec]:
    """Provide the pictures."""
    return []
