"""Monitors training: validation losses, bounds, snapshots and the best weights of one seed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from harness.contracts.curves import Curves
from harness.contracts.models import Samples, offers
from harness.contracts.objectives import bound_name, objectives_of
from harness.data.dataset import Split
from harness.errors import Diverged, NotApplicable, no_exit
from harness.noise import Noise, derive_seed, global_seed
from harness.toolkit.likelihood import has_bound, lower_bound
from harness.training.recipe import Callbacks, Fitted, Recipe
from harness.training.trainer import mean_losses

_validation_batch = 1000
_bound_examples = 500


class SeedMonitor:
    """Measures one seed's model after each epoch, and keeps its best weights if the budget says so."""

    def __init__(self, recipe: Recipe, fitted: Fitted, model: nn.Module) -> None:
        self.recipe = recipe
        self.fitted = fitted
        self.model = model
        self.objectives = objectives_of(model, recipe.config)
        self._best: tuple[float, dict[str, Tensor]] | None = None
        self._progress = 0.0
        self._measures_bound = has_bound(model) and bound_name not in [each.name for each in self.objectives]
        if recipe.budget.weights == "best" and len(self.objectives) > 1:
            names = " and ".join(each.name for each in self.objectives)
            raise NotApplicable(f"it trains on several objectives ({names}), so no weights are the best; keep the last")

    def end_epoch(self, losses: Mapping[str, float], seconds: float, steps: int) -> None:
        """Measure the validation losses and add the epoch to the curves, unless training has diverged before.

        A training loss that is not finite becomes the error of the fit.
        """
        if self.fitted.error is not None:
            return
        self.model.eval()
        validation = mean_losses(
            self.model, self.objectives, self.recipe.data.validation, _validation_batch, self.fitted.seed
        )
        curves = self.fitted.curves
        curves.add(losses, validation, seconds)
        curves.steps = steps
        for name, value in losses.items():
            if not math.isfinite(value):
                epochs = len(curves.seconds)
                self.fitted.error = Diverged(f"{name} became {value} in epoch {epochs}, after {steps} steps")
                return
        if self._measures_bound:
            train, held_out = self.recipe.data.train, self.recipe.data.validation
            curves.add_bound(self._negative_bound(train), self._negative_bound(held_out))
        if self.recipe.budget.weights == "best":
            loss = validation[self.objectives[0].name]
            if self._best is None or loss < self._best[0]:
                self._best = loss, {name: each.clone() for name, each in self.model.state_dict().items()}

    @torch.no_grad()
    def _negative_bound(self, split: Split) -> float:
        """Return the mean negative bound over a few examples of a split, with the same noise at every call."""
        noise = Noise(derive_seed("bound", self.fitted.seed), split.stored.device)
        return -float(lower_bound(self.model, split.subset(_bound_examples).all(noise), noise).mean())

    def keep_snapshot(self, epoch: int, progress: float, callbacks: Callbacks) -> None:
        """Keep samples if this epoch is the first, the middle or the last one; a failure is announced."""
        due = epoch == 1 or self._progress < 0.5 <= progress or progress >= 1
        self._progress = progress
        if not (due and callbacks.snapshots and self.fitted.error is None and offers(self.model, Samples)):
            return
        seed = derive_seed("snapshots", self.fitted.seed)
        noise = Noise(seed, self.recipe.data.train.stored.device)
        try:
            with no_exit(), torch.no_grad(), global_seed(seed):
                samples = self.model.eval().sample(callbacks.snapshots, noise)  # type: ignore[operator]
            self.fitted.snapshots[epoch] = samples.to("cpu", torch.float32)
        except Exception as error:
            callbacks.announce(f"no samples could be drawn in epoch {epoch}: {error}")

    def choose_weights(self) -> None:
        """Load the best weights into the model if the budget says so."""
        if self._best is not None:
            self.model.load_state_dict(self._best[1])

    def state(self) -> dict[str, Any]:
        """Return what it has measured and kept."""
        error = self.fitted.error
        return {
            "curves": dataclasses.asdict(self.fitted.curves),
            "best": self._best,
            "progress": self._progress,
            "snapshots": self.fitted.snapshots,
            "diverged": None if error is None else str(error),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from what ``state`` returned."""
        self.fitted.curves = Curves(**state["curves"])
        self._best = state["best"]
        self._progress = state["progress"]
        self.fitted.snapshots = state["snapshots"]
        if state["diverged"] is not None:
            self.fitted.error = Diverged(state["diverged"])
