"""The curves of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.contracts.objectives import bound_name


@dataclass
class Curves:
    """Mean losses by objective and seconds of training, one entry an epoch.

    For a model with a lower bound on log p(x) that is not one of its objectives, the negative bound is a curve too: the
    mean over the first examples of each split.
    """

    train: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0

    def add(self, train: Mapping[str, float], validation: Mapping[str, float], seconds: float) -> None:
        """Append an epoch."""
        for kept, new in ((self.train, train), (self.validation, validation)):
            for name, value in new.items():
                kept.setdefault(name, []).append(value)
        self.seconds.append(seconds)

    def add_bound(self, train: float, validation: float) -> None:
        """Append an epoch's negative bound, which is not one of the objectives."""
        self.train.setdefault(bound_name, []).append(train)
        self.validation.setdefault(bound_name, []).append(validation)
