"""The scale of diffusion models and flows: [−1, 1] for bounded data."""

from __future__ import annotations

import math

from torch import Tensor

from harness import DataInfo


class Scale:
    """Maps data in [0, 1] to [−1, 1] and back; unbounded data is unchanged."""

    def __init__(self, info: DataInfo) -> None:
        self.bounded = info.support in ("binary", "unit")
        self.log_det = info.dim * math.log(2) if self.bounded else 0.0  # of the map to the model's scale, in nats

    def to_model(self, x: Tensor) -> Tensor:
        """Map examples from the data's scale to the model's."""
        return 2 * x - 1 if self.bounded else x

    def to_data(self, y: Tensor) -> Tensor:
        """Map examples from the model's scale to the data's, clipped to [0, 1] for bounded data."""
        return ((y + 1) / 2).clamp(0, 1) if self.bounded else y

    def clip(self, y: Tensor) -> Tensor:
        """Clip predictions of clean examples to the range of the data on the model's scale."""
        return y.clamp(-1, 1) if self.bounded else y
