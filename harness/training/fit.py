"""Fits one model: builds it, trains it or lets it fit itself, and keeps its curves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from harness.capabilities import FitsInClosedForm, offers
from harness.data import Data
from harness.errors import Diverged
from harness.noise import Noise, derive_seed, global_seed
from harness.training.loop import Trainer, mean_losses
from harness.training.objectives import objectives_of

_validation_batch = 1000


@dataclass
class Curves:
    """What was seen while training, one entry an epoch: mean losses by objective, and seconds."""

    train: dict[str, list[float]] = field(default_factory=dict)
    validation: dict[str, list[float]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def add(self, train: dict[str, float], validation: dict[str, float], seconds: float) -> None:
        """Append an epoch."""
        for kept, new in ((self.train, train), (self.validation, validation)):
            for name, value in new.items():
                kept.setdefault(name, []).append(value)
        self.seconds.append(seconds)


def fit_model(
    factory: Callable[..., nn.Module],
    config: Any,
    data: Data,
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    curves: Curves,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> nn.Module:
    """Build a model and fit it on ``data.train``; return it in evaluation mode, on the device of the data.

    ``curves`` is filled as training goes, so that it tells the story of a fit that fails too.

    Raises:
        Diverged: an objective became infinite or not a number.
        NotApplicable: the model cannot be built for this data.
    """
    device = data.train.stored.device
    with global_seed(derive_seed("initialisation", seed)):
        model = factory(data.info, config).to(device)
    with global_seed(derive_seed("global", seed)):
        if offers(model, FitsInClosedForm):
            with torch.no_grad():
                model.fit(data.train, Noise(derive_seed("data", seed), device))  # type: ignore[operator]
        else:
            _train(model, config, data, seed, epochs, batch_size, curves, on_epoch)
        if hasattr(model, "calibrate"):
            with torch.no_grad():
                noise = Noise(derive_seed("calibration", seed), device)
                model.eval().calibrate(data.validation, noise)  # type: ignore[operator]
    return model.eval()


def _train(
    model: nn.Module,
    config: Any,
    data: Data,
    seed: int,
    epochs: int,
    batch_size: int,
    curves: Curves,
    on_epoch: Callable[[int, dict[str, float]], None],
) -> None:
    objectives = objectives_of(model, config)
    trainer = Trainer(model, objectives, data.train, batch_size, seed)
    for epoch in range(1, epochs + 1):
        model.train()
        start = time.perf_counter()
        train = trainer.epoch()
        seconds = time.perf_counter() - start
        model.eval()
        curves.add(train, mean_losses(objectives, data.validation, _validation_batch, seed), seconds)
        for name, value in train.items():
            if not math.isfinite(value):
                raise Diverged(f"{name} became {value} in epoch {epoch} of {epochs}")
        on_epoch(epoch, train)
