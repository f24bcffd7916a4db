"""The contract of a figure: a picture of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from harness.contracts.curves import Curves
from harness.data.dataset import Data
from harness.noise import Noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Picture


@dataclass(frozen=True)
class FigureContext:
    """What a figure receives beside the model and the data.

    Args:
        config: the model's settings, as its ``Config``.
        curves: of training; empty for a closed-form fit.
        snapshots: samples of the first, the middle and the last epoch from the same latent points, by epoch.
        noise: randomness of the figure, the same for every model.
    """

    config: Any
    curves: Curves
    snapshots: Mapping[int, Tensor]
    noise: Noise


class Figure(Protocol):
    """A figure: a class built without arguments, drawn for each model that has the capabilities in ``needs``.

    ``needs`` is optional and the same as for a metric.
    """

    def draw(self, model: Any, data: Data, context: FigureContext) -> Picture:
        """Return the picture of a fitted model.

        Raises:
            NotApplicable: there is nothing to draw for this model or data.
        """
