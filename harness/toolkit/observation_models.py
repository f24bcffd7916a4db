"""p(x | z) and p(z) for models without them, so that their likelihoods can be compared in nats."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from harness.contracts.metrics import Context
from harness.contracts.models import HasDecoder, HasEncoder, HasObservationModel, HasPosterior, offers
from harness.data.dataset import Data
from harness.errors import NotApplicable
from harness.machine.memory import rows_within
from harness.noise import Noise, derive_seed
from harness.settings import setting
from harness.toolkit.bernoulli import Bernoulli

_batch = 1000
_images = 50  # at a time: the decoder is linearised at each image, in a matrix of values × latent dimensions
_rounds = 5  # of expectation–maximisation; each reduces the error to about latent / values of it
_steps = 60  # of Adam on the codes, before each round
_step_size = 0.05
_starts = 1000  # codes from the prior; the search for the mode of an image starts at the best of them
_jitter = 1e-6  # share of the mean variance of the codes, added to each variance: unused units have none


@dataclass(frozen=True)
class ObservationSettings:
    """Settings of the observation model that is chosen for a model without one."""

    floor: float = setting(
        1e-3,
        "on binary data, smallest probability of a pixel value, if the model has no p(x|z) of its own",
        above=0,
        below=0.5,
    )
    variance_images: int = setting(
        100, "number of validation images that choose the variance of p(x|z), without an encoder", minimum=1
    )
    variance_samples: int = setting(100, "codes per image and round of that choice", minimum=2)
    memory: float = setting(1024, "memory for decoded codes, in MiB", above=0)


@dataclass(frozen=True)
class Observed:
    """A model with a prior and an observation model, its own or chosen for it.

    Args:
        model: the model itself.
        prior: returns p(z), of event shape ``(latent,)``.
        observation: returns p(x | z) for codes ``(N, latent)``, of batch shape ``(N,)`` and event shape ``shape``.
        description: of both, for the diagnostics of an estimate.
    """

    model: Any
    prior: Callable[[], Distribution]
    observation: Callable[[Tensor], Distribution]
    description: Mapping[str, Any]

    @property
    def encodes(self) -> bool:
        """Whether the model has a posterior."""
        return offers(self.model, HasPosterior)

    def posterior(self, x: Tensor) -> Distribution:
        """Return the model's q(z | x), of batch shape ``(N,)`` and event shape ``(latent,)``."""
        distribution: Distribution = self.model.posterior(x)
        return distribution


@torch.no_grad()
def observed(model: Any, data: Data, context: Context, settings: ObservationSettings) -> Observed:
    """Return a model with its prior and observation model, or with ones chosen for its decoder.

    They are chosen without the test split, so that the test likelihood is that of a fixed model:

    - p(x | z) on binary data: Bernoulli with the decoded value as its probability, clipped to [``floor``,
      1 − ``floor``], since a decoder that was not trained on a likelihood may be certain and wrong. On continuous data:
      N(decoded, v I) as in Wu, Burda, Salakhutdinov and Grosse (2017), with one v chosen on the validation split.
    - v of a model with an encoder: the mean squared error of its reconstructions, which maximises
      log p(x | encoded x). Like the autoencoder itself, it ignores the uncertainty of the code.
    - v of a model without an encoder: the maximum-likelihood value for ``variance_images`` images, by
      expectation–maximisation. The expected squared error under the posterior is estimated by importance sampling
      around the mode of each image, which is found by gradient ascent; the proposal is Gaussian with the precision of
      the linearised decoder. For a linear decoder the proposal is the posterior, and v is exact. For others, a missed
      mode makes v too large and the likelihood lower: the error never favours the model.
    - p(z) of an autoencoder: a Gaussian with the mean and the full covariance of the training codes. Its codes have an
      arbitrary scale, which N(0, I) would penalise. With a full covariance the likelihood does not depend on the linear
      basis of the codes, which is all that a linear decoder leaves undetermined. A richer density would be a different
      model. A millionth of the mean variance is added to each variance.

    The choice depends on the seed of the evaluation only, not on the state of ``context.noise``.

    Raises:
        NotApplicable: the model has no decoder, or no prior and no encoder; or the data has no proper likelihood.
    """
    if offers(model, HasObservationModel):
        return Observed(
            model, model.prior, model.observation, {"observation": "the model's own", "prior": "the model's own"}
        )
    if not offers(model, HasDecoder):
        raise NotApplicable("it has no observation model, and no decoder to build one from")
    if data.info.support == "points":
        raise NotApplicable("an observation model of values in fixed places does not apply to sets of points")
    binary = data.info.support == "binary"
    if data.info.is_discrete and not binary:
        raise NotApplicable(
            "its likelihood would be a density on discrete values, which is unbounded as the variance shrinks; "
            "binarize or dequantize the data"
        )
    noise = Noise(derive_seed("observation", context.noise.generator.initial_seed()), data.test.stored.device)
    prior, prior_description = _prior(model, data, noise)
    if binary:
        return Observed(
            model,
            prior,
            lambda z: _bernoulli(model.decode(z), settings.floor),
            {
                "observation": f"bernoulli, probabilities kept in [{settings.floor:g}, {1 - settings.floor:g}]",
                "prior": prior_description,
            },
        )
    if offers(model, HasEncoder):
        variance, how = _reconstruction_error(model, data, noise), "mean squared reconstruction error on validation"
    else:
        variance = _most_likely_variance(model, prior(), data, noise, settings)
        how = f"most likely on {min(settings.variance_images, len(data.validation))} validation images"
    if not 0 < variance < float("inf"):
        raise NotApplicable(f"the variance of its observation model would be {variance:g}")
    return Observed(
        model,
        prior,
        lambda z: _gaussian(model.decode(z), variance),
        {"observation": f"gaussian, variance {variance:.4g}: {how}", "variance": variance, "prior": prior_description},
    )


def _bernoulli(decoded: Tensor, floor: float) -> Distribution:
    logits = decoded.clamp(floor, 1 - floor).logit()
    return Independent(Bernoulli(logits=logits, validate_args=False), decoded.dim() - 1)


def _gaussian(decoded: Tensor, variance: float) -> Distribution:
    # full, unlike tensor, copies nothing from the CPU, which a CUDA graph could not record
    scale = torch.full((), variance**0.5, dtype=decoded.dtype, device=decoded.device).expand_as(decoded)
    return Independent(Normal(decoded, scale, validate_args=False), decoded.dim() - 1)


def _prior(model: Any, data: Data, noise: Noise) -> tuple[Callable[[], Distribution], str]:
    if hasattr(model, "prior"):
        return model.prior, "the model's own"
    if not offers(model, HasEncoder):
        raise NotApplicable("it has neither a prior over codes nor an encoder to fit one to")
    codes = torch.cat([model.encode(x) for x in data.train.batches(_batch, noise)])  # (N, latent)
    exact = codes.double()
    centred = exact - exact.mean(0)
    covariance = centred.T @ centred / len(exact)
    variances = covariance.diagonal()
    floor = _jitter * variances.mean().clamp(min=torch.finfo(torch.float32).tiny)
    factor = torch.linalg.cholesky(covariance + floor * torch.eye(len(variances), device=codes.device))
    fitted = MultivariateNormal(exact.mean(0).to(codes), scale_tril=factor.to(codes), validate_args=False)
    return lambda: fitted, "gaussian with the mean and covariance of the training codes"


def _reconstruction_error(model: Any, data: Data, noise: Noise) -> float:
    total = sum(
        float((model.decode(model.encode(x)) - x).double().square().sum())
        for x in data.validation.batches(_batch, noise)
    )
    return total / (len(data.validation) * data.info.dim)


def _most_likely_variance(
    model: Any, prior: Distribution, data: Data, noise: Noise, settings: ObservationSettings
) -> float:
    x = data.validation.subset(settings.variance_images).all(noise).flatten(1)  # (N, d)

    def decode(z: Tensor) -> Tensor:
        return model.decode(z).flatten(1)  # type: ignore[no-any-return]

    rows = min(_images, rows_within(settings.memory, decode, prior.mean))
    starts = prior.mean + prior.stddev * noise.normal(_starts, *prior.event_shape)
    errors = torch.cat([torch.cdist(x, decode(each)) for each in starts.split(rows)], 1).square() / x.shape[1]
    modes = starts[errors.argmin(1)].clone()
    variance = float(errors.amin(1).mean())
    for _ in range(_rounds):
        climbed, expected = [], []
        for images, codes in zip(x.split(rows), modes.split(rows), strict=True):
            climbed.append(_climb(decode, prior, images, codes, variance))
            errors, log_weights = _importance_samples(
                decode, prior, images, climbed[-1], variance, settings.variance_samples, noise
            )
            expected.append((log_weights.softmax(0) * errors).sum(0))
        modes, variance = torch.cat(climbed), float(torch.cat(expected).mean())
    return variance


def _climb(decode: Callable[[Tensor], Tensor], prior: Distribution, x: Tensor, z: Tensor, variance: float) -> Tensor:
    """Return codes ``(N, latent)`` closer to the modes of p(z | x)."""
    z = z.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=_step_size)
    for _ in range(_steps):
        with torch.enable_grad():
            energy = (decode(z) - x).square().sum() / (2 * variance) - prior.log_prob(z).sum()
        (z.grad,) = torch.autograd.grad(energy, [z])
        adam.step()
    return z.detach()


def _importance_samples(
    decode: Callable[[Tensor], Tensor],
    prior: Distribution,
    x: Tensor,
    modes: Tensor,
    variance: float,
    samples: int,
    noise: Noise,
) -> tuple[Tensor, Tensor]:
    """Sample codes around the modes; return mean squared errors and log weights, both ``(samples, N)`` float64."""
    latent = modes.shape[1]
    steps = 1e-2 * torch.diag(prior.stddev)
    slopes = [(decode(modes + step) - decode(modes - step)) / (2 * step.sum()) for step in steps]
    jacobian = torch.stack(slopes, 2).double()  # (N, d, latent)
    precision = jacobian.mT @ jacobian / variance + torch.diag(prior.variance.double().reciprocal())
    proposal = MultivariateNormal(modes.double(), precision_matrix=precision, validate_args=False)
    drawn = proposal.loc + (proposal.scale_tril @ noise.normal(samples, *modes.shape, 1).double()).squeeze(-1)
    errors = torch.stack([(decode(z.to(modes)) - x).double().square().mean(1) for z in drawn])
    likelihood = -errors * x.shape[1] / (2 * variance)
    log_prior = prior.log_prob(drawn.to(modes).view(-1, latent)).double().view(samples, -1)
    return errors, likelihood + log_prior - proposal.log_prob(drawn)
