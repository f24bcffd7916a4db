"""The evidence lower bound and its two sides, rate and distortion."""

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
        """Return the summands of the bound on each test example, ``(N,)`` in nats, and what it is a likelihood of."""
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

    The expectation is over samples of the posterior, never at its mean. A model with a bound of its own
    (``elbo_terms``) is measured by that.
    """

    Config = BoundSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
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
    """What the bound spends on the code: minus all its terms but the reconstruction (Alemi et al., 2018).

    For a model with an encoder and a prior that is KL(q(z | x) ‖ p(z)), see ``kl``; averaged over x, an upper bound on
    the information that codes carry of examples. ``rate`` + ``distortion`` = −``elbo``, at the same samples. Neither
    end is better: models are points of a plane.
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
            NotApplicable: the model's own bound has no part that is the reconstruction.
        """
        terms, _ = self.config.over_test(model, data, context)
        distortion = -_reconstruction(terms)
        return Estimate.over_examples(-torch.stack(list(terms.values())).sum(0) - distortion)


class Distortion:
    """−E_q[log p(x | z)], what examples cost once their codes are known (Alemi et al., 2018); see ``rate``."""

    Config = BoundSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "lower"
    needs: ClassVar = (HasPosterior | HasBound, HasObservationModel | HasBound)

    def __init__(self, config: BoundSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split.

        Raises:
            NotApplicable: the model's own bound has no part that is the reconstruction.
        """
        terms, measure = self.config.over_test(model, data, context)
        return Estimate.over_examples(-_reconstruction(terms), measure=measure)


def _reconstruction(terms: dict[str, Tensor]) -> Tensor:
    if "reconstruction" not in terms:
        raise NotApplicable(f"the parts of its bound are {', '.join(terms)}: none is a reconstruction")
    return terms["reconstruction"]
