"""Estimators of log p(x) that training and measuring share, so that every constant exists once."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from harness.capabilities import Decodes, Encodes
from harness.noise import Noise, draw


class LatentVariableModel(Encodes, Decodes, Protocol):
    """A model with an encoder and an observation model."""


class ElboTerms(NamedTuple):
    """The evidence lower bound of each example is ``reconstruction - kl``; both ``(N,)`` in nats.

    ``observation`` is the p(x | z) that was used, for its measure.
    """

    reconstruction: Tensor
    kl: Tensor
    observation: Distribution


def elbo_terms(model: LatentVariableModel, x: Tensor, noise: Noise) -> ElboTerms:
    """Estimate the evidence lower bound with one sample of the posterior (Kingma and Welling, 2014).

    E_q[log p(x | z)] is taken at one z drawn from q(z | x); KL(q(z | x) ‖ p(z)) is exact where torch knows a
    closed form for the pair, and log q(z | x) − log p(z) at the same z where it does not.
    """
    posterior, prior = model.posterior(x), model.prior()
    z = draw(posterior, noise)  # (N, latent)
    observation = model.observation(z)
    try:
        kl = kl_divergence(posterior, prior)
    except NotImplementedError:
        kl = posterior.log_prob(z) - prior.log_prob(z)
    return ElboTerms(observation.log_prob(x), kl, observation)
