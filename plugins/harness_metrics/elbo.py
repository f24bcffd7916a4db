"""The evidence lower bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from harness import (
    Bounds,
    Context,
    Data,
    Decodes,
    Encodes,
    Estimate,
    elbo_terms,
    likelihood_measure,
    setting,
)

batch = 1000


class ELBO:
    """E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)), a lower bound on log p(x), with both parts.

    The expectation is over samples of the posterior, never at its mean. A model with a bound of its own
    (``elbo_terms``) is measured by that.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        samples: int = setting(1, "posterior samples per image", minimum=1)

    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (Encodes | Bounds, Decodes | Bounds)

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the test split."""
        terms: dict[str, list[Tensor]] = {}
        measure = None
        for x in data.test.batches(batch, context.noise):
            parts: dict[str, Tensor] = {}
            for _ in range(self.config.samples):
                drawn, measure = self._terms(model, x, data, context)
                for name, part in drawn.items():
                    parts[name] = parts.get(name, 0) + part.double() / self.config.samples
            for name, part in parts.items():
                terms.setdefault(name, []).append(part)
        joined = {name: torch.cat(each) for name, each in terms.items()}
        total = torch.stack(list(joined.values())).sum(0)
        shown = {name: -part if name == "kl" else part for name, part in joined.items()}
        return Estimate.over_examples(total, parts=shown, measure=measure)

    def _terms(self, model: Any, x: Tensor, data: Data, context: Context) -> tuple[dict[str, Tensor], str | None]:
        """Return the summands of the bound, each ``(B,)``, and what it is a likelihood of."""
        if isinstance(model, Bounds):
            return model.elbo_terms(x, context.noise), getattr(model, "measure", None)
        terms = elbo_terms(model, x, context.noise)
        measure = likelihood_measure(data.info, terms.observation)
        return {"reconstruction": terms.reconstruction, "kl": -terms.kl}, measure
