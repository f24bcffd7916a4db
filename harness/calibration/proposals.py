"""Views of a fitted model that fix the proposal of an estimator: a distorted posterior, or no encoder at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness.contracts.models import lacking

shift, widening = 0.5, 1.2  # of the proposal, in standard deviations of the exact posterior


class View(Protocol):
    """A fitted model with another proposal, which is described by ``proposal``."""

    proposal: ClassVar[str]


class DistortedPosterior:
    """A fitted model with a posterior half a standard deviation off and a fifth too wide."""

    proposal: ClassVar = f"posterior shifted by {shift:g} sd and widened {widening:g} times"

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def posterior(self, x: Tensor) -> Distribution:
        """Return N(μ + 0.5 σ, (1.2 σ)²), where N(μ, σ²) is the exact posterior with independent components."""
        exact = self._model.posterior(x)  # type: ignore[operator]
        return Independent(Normal(exact.mean + shift * exact.stddev, widening * exact.stddev), 1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


class WithoutEncoder:
    """A fitted model without its encoder, so that an estimator starts from the prior."""

    proposal: ClassVar = "prior"

    def __init__(self, model: nn.Module) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        if name in ("posterior", "encode"):
            raise AttributeError(name)
        return getattr(self._model, name)


def view_for(needs: Iterable[Any], model: nn.Module) -> View:
    """Return the model without its encoder or, if the ``needs`` of a metric include one, with a distorted posterior."""
    without = WithoutEncoder(model)
    return without if lacking(without, needs) is None else DistortedPosterior(model)
