"""The evidence lower bound and its two parts, rate and distortion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import (
    Context,
    Data,
    Estimate,
    HasBound,
    HasObservationModel,
    HasPosterior,
    NotApplicable,
    likelihood_measure,
    setting,
)
from harness.toolkit import elbo_terms

batch = 1000


@dataclass(frozen=True)
class BoundSettings:
    """Settings of the bound and its parts."""

    samples: int = setting(1, "posterior samples per image", minimum=1)

    def over_test(self, model: Any, data: Data, context: Context) -> tuple[dict[str, Tensor], str | None]:
        """Return the summands of the bound for each test example, ``(N,)`` in nats, and its reference measure."""
        terms: dict[str, list[Tensor]] = {}
        measure = None
        for x in data.test.batches(batch, context.noise):
            parts: dict[str, Tensor] = {}
            for _ in range(self.samples):
                drawn, measure = _terms(model, x, data, context)
                for name, part in drawn.items():
                    parts[name] = parts.get(name, 0) + part.double() / self.samples
            for name, part in parts.items():
                terms.setdefault(name, []).append(part)
        return {name: torch.cat(each) for name, each in terms.items()}, measure


def _terms(model: Any, x: Tensor, data: Data, context: Context) -> tuple[dict[str, Tensor], str | None]:
    if isinstance(model, HasBound):
        return model.elbo_terms(x, context.noise), getattr(model, "measure", None)
    terms = elbo_terms(model, x, context.noise)
    measure = likelihood_measure(data.info, terms.observation)
    return {"reconstruction": terms.reconstruction, "kl": -terms.kl}, measure


class ELBO:
    """E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)), a lower bound on log p(x), with both parts.

    The expectation is over samples of the posterior. A model with a bound of its own (``elbo_terms``) is measured by
    that bound.
    """

    Config = BoundSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    bound: ClassVar = "lower"
    needs: ClassVar = (HasPosterior | HasBound, HasObservationModel | HasBound)

    def __init__(self, config: BoundSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        terms, measure = self.config.over_test(model, data, context)
        total = torch.stack(list(terms.values())).sum(0)
        shown = {name: -part if name == "kl" else part for name, part in terms.items()}
        return Estimate.over_examples(total, parts=shown, measure=measure)


class Rate:
    """The rate of the bound: minus all its terms except the reconstruction (Alemi et al., 2018).

    For a model with an encoder and a prior it is KL(q(z | x) ‖ p(z)), as in ``kl``. Its mean over x is an upper bound
    on the mutual information of codes and examples. ``rate`` + ``distortion`` = −``elbo`` with the same samples.
    Neither direction is better: models trade one for the other.
    """

    Config = BoundSettings
    unit: ClassVar = "nats"
    direction: ClassVar = None
    needs: ClassVar = (HasPosterior | HasBound, HasObservationModel | HasBound)

    def __init__(self, config: BoundSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the model's own bound has no part ``reconstruction``.
        """
        terms, _ = self.config.over_test(model, data, context)
        distortion = -_reconstruction(terms)
        return Estimate.over_examples(-torch.stack(list(terms.values())).sum(0) - distortion)


class Distortion:
    """−E_q[log p(x | z)], the cost of an example given its code (Alemi et al., 2018); see ``rate``."""

    Config = BoundSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "lower"
    needs: ClassVar = (HasPosterior | HasBound, HasObservationModel | HasBound)

    def __init__(self, config: BoundSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the model's own bound has no part ``reconstruction``.
        """
        terms, measure = self.config.over_test(model, data, context)
        return Estimate.over_examples(-_reconstruction(terms), measure=measure)


def _reconstruction(terms: dict[str, Tensor]) -> Tensor:
    if "reconstruction" not in terms:
        raise NotApplicable(f"the parts of its bound are {', '.join(terms)}; none is the reconstruction")
    return terms["reconstruction"]
