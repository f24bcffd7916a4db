"""The subject of checks of a model: the model with its settings, fitted to tiny data once for all checks."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from harness.conformance.checks import Skipped, skip
from harness.conformance.surroundings import quiet, restored
from harness.conformance.tiny_data import copied, kinds
from harness.contracts.models import (
    Calibrates,
    Corrupts,
    FitsItself,
    HasBound,
    HasDecoder,
    HasDensity,
    HasEncoder,
    HasObservationModel,
    HasPosterior,
    Quantizes,
    Reconstructs,
    Samples,
    Transports,
    lacking,
    offers,
)
from harness.contracts.objectives import objectives_of
from harness.data.dataset import Data
from harness.errors import Diverged, NotApplicable
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
                each.loss(x, Noise(1)).backward()
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


def latent_size(model: Any, x: Tensor) -> int | None:
    """Return the size of a code, or None if the model has no codes of known size."""
    if hasattr(model, "prior"):
        return int(model.prior().event_shape[-1])
    if offers(model, HasEncoder):
        return int(model.encode(x[:1]).shape[-1])
    return int(model.posterior(x[:1]).event_shape[-1]) if offers(model, HasPosterior) else None


def codes(model: Any, x: Tensor) -> Tensor:
    """Return fixed codes from N(0, I), one for each example, ``(N, latent)``."""
    return Noise(derive_seed("codes")).normal(len(x), latent_size(model, x) or 0)


@torch.no_grad()
def outputs(model: Any, x: Tensor, z: Tensor | None = None, *, copies: bool = True) -> dict[str, Tensor]:
    """Return all that a model says of examples without randomness, by method, one row an example.

    Args:
        model: in evaluation mode.
        x: examples, ``(N, *shape)``.
        z: codes of the same number, ``(N, latent)``, for decoders and posteriors.
        copies: whether each method gets a copy of both, so that one that changes them does no harm to the others.
    """
    if z is None and latent_size(model, x):
        z = codes(model, x)
    found = {}
    for name, method in _methods(model).items():
        given = x.clone() if copies else x
        found[name] = method(given, z.clone() if copies and z is not None else z)
    return found


def _methods(model: Any) -> dict[str, Callable[[Tensor, Any], Tensor]]:
    """Return what a model says of examples and codes, by name."""
    found: dict[str, Callable[[Tensor, Any], Tensor]] = {}
    if offers(model, Reconstructs):
        found["reconstruct"] = lambda x, z: model.reconstruct(x)
    if offers(model, HasEncoder):
        found["encode"] = lambda x, z: model.encode(x)
    if offers(model, HasDensity):
        found["log_prob"] = lambda x, z: model.log_prob(x)
    if offers(model, Quantizes):
        found["codes"] = lambda x, z: model.codes(x)
    if offers(model, Transports):
        found["rescale"] = lambda x, z: model.rescale(x)[0]
        found["rescale's log-determinant"] = lambda x, z: model.rescale(x)[1].expand(len(x))
        found["velocity"] = lambda x, z: model.velocity(model.rescale(x)[0], torch.tensor(0.5))
    if offers(model, HasPosterior):
        found["posterior's log-density"] = lambda x, z: model.posterior(x).log_prob(z)
    if offers(model, HasObservationModel):
        found["prior's log-density"] = lambda x, z: model.prior().log_prob(z)
        found["observation's log-density"] = lambda x, z: model.observation(z).log_prob(x)
    if offers(model, HasDecoder) and (hasattr(model, "prior") or offers(model, HasEncoder)):
        found["decode"] = lambda x, z: model.decode(z)
    return found


@torch.no_grad()
def draws(model: Any, x: Tensor, seed: int, *, copies: bool = True) -> dict[str, Tensor]:
    """Return all that a model draws from noise, by method."""
    found: dict[str, Tensor] = {}
    if offers(model, Samples):
        found["sample"] = model.sample(8, Noise(seed))
    if offers(model, Corrupts):
        found["corrupt"] = model.corrupt(x.clone() if copies else x, Noise(seed))
    if offers(model, HasBound):
        terms = model.elbo_terms(x.clone() if copies else x, Noise(seed))
        found |= {f"elbo_terms, {name}": each for name, each in terms.items()}
    return found


def everything(model: Any, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Return both the outputs and the draws of a model."""
    return outputs(model, x) | draws(model, x, seed)


def different(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    """Return the names whose tensors are not equal bit for bit; NaN equals NaN."""
    return [
        name
        for name in one
        if name not in other
        or one[name].shape != other[name].shape
        or not torch.equal(one[name].nan_to_num(), other[name].nan_to_num())
    ]


def far_apart(one: dict[str, Tensor], other: dict[str, Tensor], *, tolerance: float = 1e-4) -> list[str]:
    """Return the names whose tensors differ by more than rounding, relative to their largest value."""
    found = []
    for name, value in one.items():
        before, after = value.double(), other[name].double()
        limit = tolerance * (1 + float(before.abs().max()))
        if before.shape != after.shape or float((before - after).abs().max()) > limit:
            found.append(name)
    return found


def snapshot(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return copies, which later calls of the model cannot change."""
    return {name: each.clone() for name, each in found.items()}


def state_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of the state dict, without what is not a tensor."""
    return {name: each.clone() for name, each in model.state_dict().items() if isinstance(each, Tensor)}


def in_words(value: Any) -> str:
    """Return the shape of a tensor, or the type of what is none."""
    return f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
