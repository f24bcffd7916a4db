"""Test examples and their reconstructions."""

from __future__ import annotations

from typing import ClassVar, Protocol

from matplotlib.figure import Figure

from harness import Corrupts, Data, FigureContext, Reconstructs
from harness_figures.canvas import draw_rows

shown = 10


class Reconstructions:
    """Test examples above their reconstructions."""

    needs: ClassVar = (Reconstructs,)

    def draw(self, model: Reconstructs, data: Data, context: FigureContext) -> Figure:
        """Draw two rows."""
        x = data.test.subset(shown).all(context.noise)
        return draw_rows([("original", x), ("reconstruction", model.reconstruct(x))], data)


class DenoisingModel(Reconstructs, Corrupts, Protocol):
    """A model trained to undo a corruption."""


class Denoising:
    """Test examples corrupted as in training, their reconstructions, and the clean examples."""

    needs: ClassVar = (Reconstructs, Corrupts)

    def draw(self, model: DenoisingModel, data: Data, context: FigureContext) -> Figure:
        """Draw three rows."""
        x = data.test.subset(shown).all(context.noise)
        corrupted = model.corrupt(x, context.noise)
        return draw_rows(
            [("corrupted", corrupted), ("reconstruction", model.reconstruct(corrupted)), ("clean", x)], data
        )
