"""Chamfer distance between point sets and their reconstructions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from harness import Context, Data, Estimate, Reconstructs, setting
from harness.toolkit import ChamferKind, chamfer
from harness_metrics.points import require_points

batch = 500


class Chamfer:
    """The Chamfer distance between each test set and its reconstruction, summed over the points of both.

    Each point is matched with the nearest one of the other set; ``harness.toolkit.chamfer`` defines the two kinds,
    which are never ranked together. The order of points does not matter.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        kind: ChamferKind = setting("third-axis", "nearest in position and intensity (third-axis), or in position only")

    unit: ClassVar = "squared distance per set"
    direction: ClassVar = "lower"
    needs: ClassVar = (Reconstructs,)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Reconstructs, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the examples are not sets of points (x, y, intensity).
        """
        require_points(data.info)
        kind = self.config.kind
        distances = [
            chamfer(x.squeeze(1), model.reconstruct(x).squeeze(1), kind)
            for x in data.test.batches(batch, context.noise)
        ]
        measure = {
            "third-axis": "nearest in position and intensity",
            "position-intensity": "nearest in position",
        }[kind]
        return Estimate.over_examples(torch.cat(distances), measure=measure)
