"""Estimators of log p(x), for losses and metrics."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, kl_divergence

from harness.contracts.models import HasBound, HasObservationModel, HasPosterior, offers
from harness.noise import Noise, draw


class LatentVariableModel(HasPosterior, HasObservationModel, Protocol):
    """A model with an encoder and an observation model."""


class ElboTerms(NamedTuple):
    """The parts of the evidence lower bound ``reconstruction - kl``, both ``(N,)`` in nats.

    ``observation`` is the p(x | z) that was used; it determines the reference measure.
    """

    reconstruction: Tensor
    kl: Tensor
    observation: Distribution


def elbo_terms(model: LatentVariableModel, x: Tensor, noise: Noise) -> ElboTerms:
    """Estimate the evidence lower bound with one sample of the posterior (Kingma and Welling, 2014).

    E_q[log p(x | z)] is estimated with one z from q(z | x). KL(q(z | x) ‖ p(z)) is exact if torch has a closed form for
    the pair; otherwise it is estimated by log q(z | x) − log p(z) at the same z.
    """
    posterior, prior = model.posterior(x), model.prior()
    z = draw(posterior, noise)  # (N, latent)
    observation = model.observation(z)
    try:
        kl = kl_divergence(posterior, prior)
    except NotImplementedError:
        kl = posterior.log_prob(z) - prior.log_prob(z)
    return ElboTerms(observation.log_prob(x), kl, observation)


def has_bound(model: Any) -> bool:
    """Return whether a model, or a model class, has a lower bound on log p(x)."""
    return offers(model, HasBound) or (offers(model, HasPosterior) and offers(model, HasObservationModel))


def lower_bound(model: Any, x: Tensor, noise: Noise) -> Tensor:
    """Return the lower bound on log p(x) of each example, ``(N,)`` in nats: the model's own, or the ELBO."""
    if offers(model, HasBound):
        return torch.stack(list(model.elbo_terms(x, noise).values())).sum(0)
    terms = elbo_terms(model, x, noise)
    return terms.reconstruction - terms.kl


def log_importance_weights(
    model: LatentVariableModel, x: Tensor, k: int, noise: Noise, posterior: Distribution | None = None
) -> Tensor:
    """Return log p(x, z) − log q(z | x) at k samples z of the posterior for each example, ``(k, N)`` in nats.

    The logarithm of the mean weight is the k-sample bound of Burda, Grosse and Salakhutdinov (2016): at most log p(x)
    in expectation, and tighter with larger k. If ``posterior``, q(z | x), is given, it is not computed again.
    """
    posterior = model.posterior(x) if posterior is None else posterior
    z = draw(posterior, noise, k)  # (k, N, latent)
    observation = model.observation(z.flatten(0, 1))
    likelihood = _log_likelihood(observation, x, k)
    return likelihood + model.prior().log_prob(z) - posterior.log_prob(z)


def _log_likelihood(observation: Distribution, x: Tensor, k: int) -> Tensor:
    """Return log p(x | z), ``(k, N)``, for p(x | z) of batch shape ``(k N,)``; with a fast path without gradients."""
    base = observation.base_dist if isinstance(observation, Independent) else observation
    result: Tensor
    if torch.is_grad_enabled() or not isinstance(base, Bernoulli):
        result = observation.log_prob(x.expand(k, *x.shape).flatten(0, 1))
        return result.unflatten(0, (k, len(x)))  # type: ignore[no-any-return]
    logits = base.logits.flatten(1)  # (k N, d)
    result = torch.einsum("knd,nd->kn", logits.unflatten(0, (k, len(x))), x.flatten(1))
    return result - sum_of_softplus(logits).view_as(result)


def sum_of_softplus(logits: Tensor) -> Tensor:
    """Return Σ log(1 + exp(l)) over the last dimension: minus the term of a Bernoulli's log-likelihood without x.

    It is Σ max(l, 0) + log Π (1 + exp(−|l|)) with one logarithm for up to 32 factors, whose product is at most 2^32.
    """
    factors = logits.abs().neg_().exp_().add_(1)
    for _ in range(5):
        half, odd = divmod(factors.shape[-1], 2)
        if odd or not half:
            break
        factors = factors[..., :half] * factors[..., half:]
    result: Tensor = logits.clamp(min=0).sum(-1) + factors.log_().sum(-1)
    return result
