"""p(x | z) and p(z) for models that were not given them, so that their likelihoods can be compared in nats."""

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
_images = 50  # at a time: the decoder is linearised at each, in a matrix of values × latent numbers
_rounds = 5  # of expectation and maximisation; each leaves about latent / values of the error
_steps = 60  # of Adam on the codes, before each round
_step_size = 0.05
_starts = 1000  # codes of the prior; from the best of them the mode of an image is sought
_jitter = 1e-6  # of the mean variance of the codes, added to each, so that unused units leave no density infinite


@dataclass(frozen=True)
class ObservationSettings:
    """Settings of the observation model that is given to a model without one."""

    floor: float = setting(
        1e-3,
        "on binary data, of a pixel's probability of 0 and of 1, where p(x|z) is not the model's",
        above=0,
        below=0.5,
    )
    variance_images: int = setting(
        100, "validation images that choose the variance of p(x|z), for a model without encoder", minimum=1
    )
    variance_samples: int = setting(100, "codes per image and round, for the same", minimum=2)
    memory: float = setting(1024, "MiB that decoded codes may take", above=0)


@dataclass(frozen=True)
class Observed:
    """A model with a prior and an observation model, its own or given to it.

    Args:
        model: what it was made of.
        prior: returns p(z), of event shape ``(latent,)``.
        observation: returns p(x | z) for codes ``(N, latent)``, of batch shape ``(N,)`` and event shape ``shape``.
        description: both in words, for the diagnostics of a figure.
    """

    model: Any
    prior: Callable[[], Distribution]
    observation: Callable[[Tensor], Distribution]
    description: Mapping[str, Any]

    @property
    def encodes(self) -> bool:
        """Whether there is a posterior."""
        return offers(self.model, HasPosterior)

    def posterior(self, x: Tensor) -> Distribution:
        """Return the model's q(z | x), of batch shape ``(N,)`` and event shape ``(latent,)``."""
        distribution: Distribution = self.model.posterior(x)
        return distribution


@torch.no_grad()
def observed(model: Any, data: Data, context: Context, settings: ObservationSettings) -> Observed:
    """Return a prior and an observation model for a model that decodes; its own where it has both.

    What is missing is chosen without the test split, so that the test likelihood is one of a model fixed beforehand:

    - p(x | z) on binary data: Bernoulli of the decoded value, kept ``floor`` away from 0 and 1, since a decoder that
      was not trained on a likelihood may be sure and wrong. On continuous data: N(decoded, v I), as in Wu, Burda,
      Salakhutdinov and Grosse (2017), with one v chosen on the validation split.
    - v of a model with an encoder: the mean squared error of its reconstructions, which maximises
      log p(x | encoded x). It leaves out how far the code is uncertain, as the autoencoder itself does.
    - v of a model without: the maximum of the likelihood of the first ``variance_images`` images, by expectation and
      maximisation. The expectation of the squared error is under the posterior, by importance sampling around the mode
      of each image, sought by gradient; the proposal is Gaussian with the precision of the decoder's linearisation.
      For a linear decoder that is the posterior itself and v the exact maximum. For others a mode that was missed
      makes v too large and the likelihood lower: the choice errs against the model, never in its favour.
    - p(z) of an autoencoder: a Gaussian with the mean and the full covariance of the training codes. Its codes follow
      no prior, and N(0, I) would count against it that their scale is arbitrary; with a full covariance the likelihood
      is the same in any linear basis of the codes, which is all that a linear decoder leaves undetermined. A richer
      density would be another model. Variances are raised by a millionth of their mean.

    The choice depends on the seed of the evaluation, not on what was drawn before.

    Raises:
        NotApplicable: there is no decoder, nothing to get a prior from, or no proper likelihood on the data.
    """
    if offers(model, HasObservationModel):
        return Observed(
            model, model.prior, model.observation, {"observation": "the model's own", "prior": "the model's own"}
        )
    if not offers(model, HasDecoder):
        raise NotApplicable("it has no observation model, and no decoder to make one of")
    if data.info.support == "points":
        raise NotApplicable("an observation model of values in fixed places says nothing of sets of points")
    binary = data.info.support == "binary"
    if data.info.is_discrete and not binary:
        raise NotApplicable(
            "its likelihood would be a density on discrete values, which a small variance makes as large as one likes; "
            "binarize or dequantize the data"
        )
    noise = Noise(derive_seed("observation", context.noise.generator.initial_seed()), data.test.stored.device)
    prior, prior_in_words = _prior(model, data, noise)
    if binary:
        return Observed(
            model,
            prior,
            lambda z: _bernoulli(model.decode(z), settings.floor),
            {
                "observation": f"bernoulli, probabilities kept in [{settings.floor:g}, {1 - settings.floor:g}]",
                "prior": prior_in_words,
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
        {"observation": f"gaussian, variance {variance:.4g}: {how}", "variance": variance, "prior": prior_in_words},
    )


def _bernoulli(decoded: Tensor, floor: float) -> Distribution:
    logits = decoded.clamp(floor, 1 - floor).logit()
    return Independent(Bernoulli(logits=logits, validate_args=False), decoded.dim() - 1)


def _gaussian(decoded: Tensor, variance: float) -> Distribution:
    scale = torch.tensor(variance**0.5, dtype=decoded.dtype, device=decoded.device).expand_as(decoded)
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
    x = data.validation.first(settings.variance_images).all(noise).flatten(1)  # (N, d)

    def decode(z: Tensor) -> Tensor:
        return model.decode(z).flatten(1)  # type: ignore[no-any-return]

    rows = min(_images, rows_within(settings.memory, decode, prior.mean))
    starts = prior.mean + prior.stddev * noise.normal(_starts, *prior.event_shape)
    errors = torch.cat([torch.cdist(x, decode(each)) for each in starts.split(rows)], 1).square() / x.shape[1]
    modes = starts[errors.argmin(1)].clone()
    variance = float(errors.amin(1).mean())
    for _ in range(_rounds):
        climbed, expected = [], []
        for images, begun in zip(x.split(rows), modes.split(rows), strict=True):
            climbed.append(_climb(decode, prior, images, begun, variance))
            around = _around(decode, prior, images, climbed[-1], variance, settings.variance_samples, noise)
            errors, log_weights = around
            expected.append((log_weights.softmax(0) * errors).sum(0))
        modes, variance = torch.cat(climbed), float(torch.cat(expected).mean())
    return variance


def _climb(decode: Callable[[Tensor], Tensor], prior: Distribution, x: Tensor, z: Tensor, variance: float) -> Tensor:
    """Return codes ``(N, latent)`` nearer to the modes of p(z | x)."""
    z = z.clone().requires_grad_()
    adam = torch.optim.Adam([z], lr=_step_size)
    for _ in range(_steps):
        with torch.enable_grad():
            energy = (decode(z) - x).square().sum() / (2 * variance) - prior.log_prob(z).sum()
        (z.grad,) = torch.autograd.grad(energy, [z])
        adam.step()
    return z.detach()


def _around(
    decode: Callable[[Tensor], Tensor],
    prior: Distribution,
    x: Tensor,
    modes: Tensor,
    variance: float,
    samples: int,
    noise: Noise,
) -> tuple[Tensor, Tensor]:
    """Sample codes around the modes; return their mean squared errors and log weights, ``(samples, N)`` float64."""
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
