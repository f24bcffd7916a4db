"""The subject of checks of a model: the model with its settings, fitted to tiny data once for all checks."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.checks import Skipped, skip
from harness.conformance.surroundings import quiet
from harness.conformance.tiny_data import copied, kinds
from harness.contracts.models import (
    Calibrates,
    FitsItself,
    lacking,
    offers,
)
from harness.contracts.objectives import objectives_of
from harness.contracts.outputs import everything
from harness.data.dataset import Data
from harness.errors import Diverged, NotApplicable
from harness.execution.surroundings import restored
from harness.noise import Noise, derive_seed, global_seed
from harness.planning.budget import Budget
from harness.planning.component import Component
from harness.training.fit import fit_seed, fit_seeds
from harness.training.recipe import Callbacks, Fitted, Recipe

batch_size = 32


@dataclass
class ModelSubject:
    """A model under check.

    Args:
        component: the model with its settings.
    """

    component: Component
    _fits: dict[tuple[int, int], Fitted] = field(default_factory=dict)

    @property
    def factory(self) -> Any:
        """The model's class."""
        return self.component.factory

    @property
    def config(self) -> Any:
        """The model's settings."""
        return self.component.config

    @property
    def trains_by_gradient(self) -> bool:
        """Whether the harness trains the model, in steps."""
        return not offers(self.factory, FitsItself)

    @cached_property
    def suited(self) -> dict[str, Data]:
        """The tiny data that the model can be built for, by kind; large images only if it takes nothing else."""
        found = {kind: copied(data) for kind, data in kinds().items() if self.takes(data)}
        return {kind: data for kind, data in found.items() if "large" not in kind} or found

    def takes(self, data: Data) -> bool:
        """Return whether the model can be built for the data."""
        try:
            self.build(data)
        except NotApplicable:
            return False
        return True

    @cached_property
    def data(self) -> Data:
        """The tiny data that most checks use.

        Raises:
            Skipped: there is none.
        """
        if not self.suited:
            skip(f"it takes none of the tiny data sets: {', '.join(kinds())}")
        return next(iter(self.suited.values()))

    def build(self, data: Data, seed: int = 0, config: Any = None) -> Any:
        """Return a new model with weights from a seed."""
        with global_seed(derive_seed("initialisation", seed)):
            return self.factory(data.info, self.config if config is None else config)

    def recipe(self, data: Data, epochs: int | None = 2, config: Any = None, steps: int | None = None) -> Recipe:
        """Return the recipe of a short fit."""
        budget = Budget(epochs=epochs, steps=steps, batch_size=batch_size)
        return Recipe(self.factory, self.config if config is None else config, data, budget)

    def fit(
        self, data: Data, seed: int = 0, epochs: int | None = 2, config: Any = None, steps: int | None = None
    ) -> Any:
        """Return a model that is newly fitted to a copy of the data.

        Raises:
            Exception: of the model.
        """
        return self.fit_to(copied(data), seed, epochs, config, steps)

    def fit_to(
        self, data: Data, seed: int = 0, epochs: int | None = 2, config: Any = None, steps: int | None = None
    ) -> Any:
        """Return a newly fitted model; the data is given to it without a copy.

        Raises:
            Exception: of the model.
        """
        fitted = fit_seed(self.recipe(data, epochs, config, steps), seed)
        if fitted.error is not None:
            raise fitted.error
        return fitted.model

    def fit_together(self, data: Data, seeds: list[int]) -> list[Fitted]:
        """Fit several seeds as one model."""
        return fit_seeds(self.recipe(copied(data)), seeds, vectorized=True, callbacks=Callbacks())

    def fitted(self, data: Data | None = None, epochs: int = 2) -> Any:
        """Return a copy of a model that is fitted once, in evaluation mode.

        Raises:
            Skipped: it could not be fitted, which is the failure of another check.
        """
        data = self.data if data is None else data
        key = id(data), epochs
        if key not in self._fits:
            with restored(), quiet():
                self._fits[key] = fit_seed(self.recipe(copied(data), epochs), 0)
        found = self._fits[key]
        if found.error is not None:
            skip(f"it could not be fitted: {type(found.error).__name__}: {found.error}")
        try:
            return copy.deepcopy(found.model)
        except Exception:
            return found.model  # the check of copies fails

    def uses(self, config: Any) -> Iterator[None]:
        """Build, train and call the model on each kind of tiny data in turn."""
        for data in self.suited.values():
            self.call(self.fit(data, epochs=None, config=config, steps=2), data)
            yield

    def call(self, model: Any, data: Data) -> None:
        """Call everything that the model offers, in evaluation mode, and its losses."""
        x = self.examples(8, data)
        everything(model, x)
        if self.trains_by_gradient:
            self.losses(model, x, 0)

    def work_by_hand(self) -> None:
        """Build, train and call the model without the engine, which protects the surroundings."""
        data = copied(self.data)
        model = self.factory(data.info, self.config)
        x = data.train.all(Noise(0))[:batch_size]
        if self.trains_by_gradient:
            model.train()
            for each in objectives_of(model, self.config):
                each.of_batch(x, Noise(1)).backward()
                model.zero_grad()
        else:
            with torch.no_grad():
                model.fit(data.train, Noise(1))
        model.eval()
        if offers(model, Calibrates):
            with torch.no_grad(), contextlib.suppress(Diverged):
                model.calibrate(data.validation, Noise(2))
        everything(model, x)

    def needs(self, *capabilities: Any) -> None:
        """Skip the check of a model without these capabilities.

        Raises:
            Skipped: it has not all of them.
        """
        reason = lacking(self.factory, capabilities)
        if reason is not None:
            raise Skipped(reason)

    def examples(self, n: int = 24, data: Data | None = None) -> Tensor:
        """Return ``n`` test examples of the data, ``(n, *shape)``."""
        return (self.data if data is None else data).test.all(Noise(0))[:n]

    def on_each_kind(self) -> list[tuple[str, Data, Any]]:
        """Return each kind of tiny data that it takes, with a model fitted to it."""
        kinds = self.suited.items()
        return [(kind, data, self.fitted(data, epochs=2 if data is self.data else 1)) for kind, data in kinds]

    def losses(self, model: Any, x: Tensor, seed: int) -> dict[str, Tensor]:
        """Return the loss of each objective on a batch."""
        return {each.name: each.loss(x, Noise(seed)) for each in objectives_of(model, self.config)}


def snapshot(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies, which later calls of the model cannot change."""
    return {name: each.clone() for name, each in found.items()}


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state dict, without what is not a tensor."""
    return {name: each.clone() for name, each in model.state_dict().items() if isinstance(each, Tensor)}


def in_words(value: Any) -> str:
    """Return the shape of a tensor, or the type of what is none."""
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
