"""Checks of the mathematics of a model, on toys on which sums and integrals can be computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from harness.conformance.checks import check, require, skip
from harness.conformance.model_subject import ModelSubject
from harness.conformance.tiny_data import all_bits, bits, plane, plane_density, two_pixels
from harness.contracts.models import HasDensity, HasObservationModel, HasPosterior, Samples, offers
from harness.contracts.objectives import bound_name
from harness.data.dataset import Data
from harness.noise import Noise, draw, global_seed
from harness.toolkit.likelihood import elbo_terms, has_bound, log_importance_weights, lower_bound

epochs = 3
_points = 8000
_largest_error = 0.2  # of an integral; with more it says nothing


class _Square:
    """A proposal on the square around [0, 1]²: mostly uniform, with tails."""

    def __init__(self) -> None:
        half = torch.full((2,), 0.5, dtype=torch.float64)
        self.tails = Independent(Normal(half, torch.ones(2, dtype=torch.float64)), 1)

    def sample(self, n: int) -> Tensor:
        flat = torch.rand(n, 2, dtype=torch.float64) * 1.5 - 0.25
        return torch.where(torch.rand(n, 1) < 0.8, flat, self.tails.sample((n,)))

    def log_prob(self, x: Tensor) -> Tensor:
        inside = ((x > -0.25) & (x < 1.25)).all(1).double()
        density: Tensor = 0.8 * inside / 1.5**2 + 0.2 * self.tails.log_prob(x).exp()
        return density.log()


class _Plane:
    """A proposal on the plane: the density of the data widened, with tails."""

    def __init__(self) -> None:
        zero = torch.zeros(2, dtype=torch.float64)
        self.parts = plane_density(widened=1.3), Independent(Normal(zero, zero + 4), 1)

    def sample(self, n: int) -> Tensor:
        near, far = (each.sample((n,)) for each in self.parts)
        return torch.where(torch.rand(n, 1) < 0.7, near, far)

    def log_prob(self, x: Tensor) -> Tensor:
        near, far = (each.log_prob(x).exp() for each in self.parts)
        return (0.7 * near + 0.3 * far).log()


def _toys() -> Iterator[tuple[str, Data, Any]]:
    yield "the plane", plane(), _Plane()
    yield "two pixels", two_pixels(), _Square()


def _integrals(
    subject: ModelSubject, log_density: Callable[[Any, Tensor], Tensor], n: int = _points
) -> Iterator[tuple[str, Any, Tensor, Tensor]]:
    """Yield toys of two values with the fitted model, points ``(n, *shape)``, and the density over the proposal's.

    The mean of these ratios, ``(n,)``, estimates the integral of the density.
    """
    for name, data, proposal in _toys():
        if not subject.takes(data):
            continue
        model = subject.fitted(data, epochs)
        with global_seed(1), torch.no_grad():
            x = proposal.sample(n)
            of_proposal = proposal.log_prob(x)
            shaped = x.float().view(n, *data.info.shape)
            ratios = (log_density(model, shaped).double() - of_proposal).exp()
        outside = ((x < 0) | (x > 1)).any(1) if data.info.support == "unit" else torch.zeros(n, dtype=torch.bool)
        ratios[outside & ratios.isnan()] = 0  # a density on [0, 1] need not be defined elsewhere
        yield name, model, shaped, ratios


def _require_one(what: str, ratios: Tensor, least: float = 0.93, most: float = 1.07) -> bool:
    """Require that an integral is about one; return False if its error is too large to tell."""
    value, error = float(ratios.mean()), float(ratios.std() / len(ratios) ** 0.5)
    if error > _largest_error and value < most + 5 * error:
        return False
    require(least - 5 * error < value < most + 5 * error, f"{what} it is {value:.3g} ± {error:.1g}")
    return True


@check(
    "model",
    "density-integrates-to-one",
    "The density integrates to one.",
    "Check the log-determinant, and the constant ½ log 2π of each dimension.",
    cost=2,
)
def density_integrates_to_one(subject: ModelSubject) -> None:
    """Integrate it over the plane, by importance sampling."""
    subject.needs(HasDensity)
    found = [
        _require_one(f"on {name}", ratios)
        for name, _, _, ratios in _integrals(subject, lambda model, x: model.log_prob(x))
    ]
    if not any(found):
        skip("it takes no data of two values, or its density has peaks too sharp to integrate")


@check(
    "model",
    "density-agrees-with-samples",
    "The share of samples in a region is the integral of the density over it.",
    "Check that sample and log_prob use the same map, one the inverse of the other.",
    cost=2,
)
def density_agrees_with_samples(subject: ModelSubject) -> None:
    """Compare a histogram of samples with the density, over 16 regions."""
    subject.needs(HasDensity, Samples)
    n, checked = 4000, 0
    for name, model, x, ratios in _integrals(subject, lambda model, x: model.log_prob(x)):
        with torch.no_grad():
            samples = _data_draws(model, n).reshape(n, 2).double()
        data = next(each for toy, each, _ in _toys() if toy == name)
        edges = data.train.all(Noise(0)).flatten(1).double().quantile(torch.tensor([0.25, 0.5, 0.75]).double(), dim=0)
        regions, of_samples = (_region(each, edges) for each in (x.reshape(-1, 2).double(), samples))
        for region in range(16):
            weights = ratios * (regions == region)
            mass, share = float(weights.mean()), float((of_samples == region).double().mean())
            error = math.hypot(float(weights.std() / len(weights) ** 0.5), (share * (1 - share) / n) ** 0.5)
            seen = f"on {name} a region has {share:.1%} of the samples, and {mass:.1%} of the density"
            require(abs(mass - share) < 0.02 + 5 * error, seen)
        checked += 1
    if not checked:
        skip("it takes no data of two values")


def _region(x: Tensor, edges: Tensor) -> Tensor:
    """Return which of 4 × 4 regions each point is in, ``(N,)``."""
    return 4 * (x[:, :1] > edges[:, 0]).sum(1) + (x[:, 1:] > edges[:, 1]).sum(1)


def _data_draws(model: Any, n: int) -> Tensor:
    """Draw from p(x): from the observation model if there is one, since ``sample`` may return its means."""
    noise = Noise(3)
    if not offers(model, HasObservationModel):
        samples: Tensor = model.sample(n, noise)
        return samples
    return draw(model.observation(draw(model.prior().expand((n,)), noise)), noise)


@check(
    "model",
    "likelihood-is-below-the-truth",
    "No model gives test data a higher mean likelihood than the true density does.",
    "Check the normalisation, and that no test example is remembered.",
    cost=2,
)
def likelihood_is_below_the_truth(subject: ModelSubject) -> None:
    """Compare likelihoods or bounds with the known density of the points on the plane."""
    data = plane()
    if not subject.takes(data) or not (offers(subject.factory, HasDensity) or has_bound(subject.factory)):
        skip("it has no likelihood of points on the plane")
    model = subject.fitted(data, epochs)
    x = data.test.all(Noise(0))
    assert data.log_prob is not None
    with torch.no_grad():
        if offers(model, HasDensity):
            found = model.log_prob(x).double()
        elif _observes(model, x, discrete=True):
            skip("its likelihood is one of binary values")
        else:
            found = torch.stack([lower_bound(model, x, Noise(seed)).double() for seed in range(8)]).mean(0)
    excess = found - data.log_prob(x)
    mean, error = float(excess.mean()), float(excess.std() / len(x) ** 0.5)
    require(mean < 0.01 + 5 * error, f"it is {mean:.3g} ± {error:.1g} nats above that of the true density")


def _observes(model: Any, x: Tensor, *, discrete: bool) -> bool:
    """Return whether p(x | z), if there is one, is of discrete values as asked."""
    if not offers(model, HasObservationModel):
        return False
    with torch.no_grad():
        code = draw(model.prior().expand((1,)), Noise(0))
        support: Any = model.observation(code).support
    return bool(support.is_discrete) == discrete


def _sums_over_bits(subject: ModelSubject, log_mass: Callable[[Any, Tensor], Tensor]) -> float | None:
    """Return the sum of a probability over all images of four binary pixels; None if the model does not take them."""
    if not subject.takes(bits()):
        return None
    model = subject.fitted(bits(), epochs)
    with torch.no_grad():
        return float(log_mass(model, all_bits()).double().exp().sum())


def _has_mass(subject: ModelSubject) -> bool:
    return subject.takes(bits()) and _observes(subject.fitted(bits(), epochs), all_bits(), discrete=True)


def _has_density_on_toys(subject: ModelSubject) -> bool:
    return any(
        subject.takes(data) and _observes(subject.fitted(data, epochs), data.test.all(Noise(0)), discrete=False)
        for _, data, _ in _toys()
    )


@check(
    "model",
    "observation-model-is-normalized",
    "p(x | z) sums or integrates to one over x, for any code z.",
    "Return a torch.distributions object whose log_prob has all its constants.",
    cost=2,
)
def observation_model_is_normalized(subject: ModelSubject) -> None:
    """Sum it over all binary images, or integrate it over the plane, for several codes."""
    subject.needs(HasObservationModel)
    checked = False
    for seed in range(2):

        def log_observation(model: Any, x: Tensor, seed: int = seed) -> Tensor:
            z = draw(model.prior().expand((1,)), Noise(seed))
            value: Tensor = model.observation(z.expand(len(x), -1)).log_prob(x)
            return value

        if _has_mass(subject):
            total = _sums_over_bits(subject, log_observation)
            require(total is not None and abs(total - 1) < 1e-3, f"over all binary images it sums to {total:.4g}")
            checked = True
        if _has_density_on_toys(subject):
            for name, _, _, ratios in _integrals(subject, log_observation, n=5000):
                checked |= _require_one(f"on {name}", ratios)
    if not checked:
        skip("it takes no binary images of four pixels and no data of two values")


@check(
    "model",
    "importance-weights-are-consistent",
    "The importance weights p(x | z) p(z) / q(z | x) average to a density that sums or integrates to one.",
    "Check log_prob of posterior(x), prior() and observation(z), and that their samples follow it.",
    cost=2,
)
def importance_weights_are_consistent(subject: ModelSubject) -> None:
    """Average weights over codes, and sum over all binary images or integrate over the plane."""
    subject.needs(HasPosterior, HasObservationModel)
    checked = False

    def average(model: Any, x: Tensor, k: int) -> Tensor:
        rounds = [log_importance_weights(model, x, k, Noise(seed)).double() for seed in range(4)]
        return torch.cat(rounds).logsumexp(0) - math.log(4 * k)

    if _has_mass(subject):
        total = _sums_over_bits(subject, lambda model, x: average(model, x, 500))
        require(total is not None and 0.85 < total < 1.1, f"over all binary images they sum to {total:.3g}")
        checked = True
    if _has_density_on_toys(subject):
        for name, _, _, ratios in _integrals(subject, lambda model, x: average(model, x, 8), n=2000):
            checked |= _require_one(f"on {name}", ratios, 0.75, 1.15)
    if not checked:
        skip("it takes no binary images of four pixels and no data of two values")


@check(
    "model",
    "bound-is-below-the-density",
    "The lower bound is at most the exact log-density, and importance weights average to it.",
    "Check the sign of the KL divergence, and that log_prob and the bound have the same constants.",
    cost=2,
)
def bound_is_below_the_density(subject: ModelSubject) -> None:
    """Compare the two where both exist."""
    subject.needs(HasDensity)
    if not has_bound(subject.factory):
        skip("it has no bound")
    data = plane() if subject.takes(plane()) else subject.data
    model, x = subject.fitted(data, epochs), subject.examples(40, data)
    with torch.no_grad():
        exact = model.log_prob(x).double()
        bounds = torch.stack([lower_bound(model, x, Noise(seed)).double() for seed in range(64)]).mean(1)
        excess, error = float(bounds.mean() - exact.mean()), float(bounds.std() / 8)
        require(excess < 1e-3 + 5 * error, f"the bound is {excess:.3g} ± {error:.1g} nats above log_prob")
        if offers(model, HasPosterior):
            weights = (log_importance_weights(model, x, 512, Noise(0)).double() - exact).exp().mean(0)
            value, error = float(weights.mean()), float(weights.std() / len(x) ** 0.5)
            require(abs(value - 1) < 0.05 + 5 * error, f"importance weights average to {value:.3g} of the density")


@check(
    "model",
    "bound-sums-to-at-most-one",
    "exp of a lower bound on log p(x) sums or integrates to at most one.",
    "Check that the bound has all its terms, with their signs and constants, and states the scale of the data.",
    cost=2,
)
def bound_sums_to_at_most_one(subject: ModelSubject) -> None:
    """Sum it over all binary images, or integrate it over the plane."""
    if not has_bound(subject.factory):
        skip("it has no bound")

    own = not offers(subject.factory, HasObservationModel)
    checked = False
    if subject.takes(bits()) and (own or _has_mass(subject)):
        model, x = subject.fitted(bits(), epochs), all_bits()
        _require_at_most_one("over all binary images", _bounds(model, x, 32))
        checked = True
    if own or _has_density_on_toys(subject):
        for name, data, proposal in _toys():
            if not subject.takes(data):
                continue
            model = subject.fitted(data, epochs)
            with global_seed(1):
                points = proposal.sample(1000)
            inside = points if data.info.support == "real" else points[((points >= 0) & (points <= 1)).all(1)]
            ratios = _bounds(model, inside.float().view(-1, *data.info.shape), 4) - proposal.log_prob(inside)
            _require_at_most_one(f"on {name}", ratios - math.log(len(points)))
            checked = True
    if not checked:
        skip("it takes no binary images of four pixels and no data of two values")


@torch.no_grad()
def _bounds(model: Any, x: Tensor, repeats: int) -> Tensor:
    """Return independent estimates of the lower bound of each example, ``(repeats, N)`` float64."""
    return torch.stack([lower_bound(model, x, Noise(seed)).double() for seed in range(repeats)])


def _require_at_most_one(what: str, bounds: Tensor) -> None:
    """Require that Σ exp(E[bound]) is at most one.

    exp of a noisy estimate is too large on average. But log Σ exp(b) is at least Σ w (b − log w) for any weights w that
    sum to one (Jensen). The weights come from one half of the estimates and b from the other, so that no noise favours
    the sum.

    Args:
        what: is summed over.
        bounds: estimates of each summand's logarithm, ``(repeats, N)``.
    """
    first, second = bounds.chunk(2)
    log_weights = first.mean(0).log_softmax(0)
    weights = log_weights.exp()
    total = float((weights * (second.mean(0) - log_weights)).sum())
    error = float((weights.square() * second.var(0) / len(second)).sum().sqrt())
    require(total - 5 * error < 0.1, f"{what} it is at least {math.exp(min(total, 700)):.3g}")


@check(
    "model",
    "divergence-agrees-with-samples",
    "The closed form of KL(q(z | x) ‖ p(z)) is the mean of log q(z | x) − log p(z) over samples of q.",
    "Check log_prob and rsample of both distributions, and the order of the arguments of the divergence.",
)
def divergence_agrees_with_samples(subject: ModelSubject) -> None:
    """Compare the two for several examples."""
    subject.needs(HasPosterior, HasObservationModel)
    model, x = subject.fitted(), subject.examples(4)
    with torch.no_grad():
        posterior, prior = model.posterior(x), model.prior()
        try:
            exact = kl_divergence(posterior, prior).double()
        except NotImplementedError:
            skip("torch has no closed form for its distributions")
        z = draw(posterior, Noise(0), 4000)
        found = (posterior.log_prob(z) - prior.log_prob(z)).double()
    error = found.std(0) / len(found) ** 0.5
    gap = (found.mean(0) - exact).abs()
    worst = int((gap - 5 * error).argmax())
    seen = f"it is {float(exact[worst]):.4g}, and the mean over samples {float(found.mean(0)[worst]):.4g}"
    require(float((gap - 5 * error).max()) < 0.01 + 1e-3 * float(exact.abs().max()), seen)


@check(
    "model",
    "loss-is-rate-plus-distortion",
    "A loss named 'negative ELBO' is the rate KL(q ‖ p) plus the distortion −E[log p(x | z)], in nats per example.",
    "Sum both over all values of an example, average over examples, or name the loss otherwise.",
)
def loss_is_rate_plus_distortion(subject: ModelSubject) -> None:
    """Compare the loss with the sum of both, averaged over noise."""
    subject.needs(HasPosterior, HasObservationModel)
    if getattr(subject.factory, "loss_name", None) != bound_name or not hasattr(subject.factory, "loss"):
        skip(f"it has no loss with loss_name = {bound_name!r}")
    model, x = subject.fitted(), subject.examples()
    with torch.no_grad():
        terms = [elbo_terms(model, x, Noise(seed)) for seed in range(64)]
        expected = torch.stack([(each.kl - each.reconstruction).mean() for each in terms]).double()
        losses = torch.stack([model.loss(x, Noise(100 + seed)) for seed in range(64)]).double()
    error = float((expected.var() / 64 + losses.var() / 64).sqrt())
    one, other = float(losses.mean()), float(expected.mean())
    seen = f"the loss is {one:.5g}, and rate plus distortion {other:.5g}"
    require(abs(one - other) < 5 * error + 1e-3 * (1 + abs(other)), seen)


@check(
    "model",
    "samples-follow-the-prior",
    "sample(n, noise) has the mean of p(x): z from prior(), then x, or its mean, from observation(z).",
    "Draw codes with harness.draw(self.prior().expand((n,)), noise), and decode them.",
)
def samples_follow_the_prior(subject: ModelSubject) -> None:
    """Compare the means of 2,000 samples with those of the observation model."""
    subject.needs(Samples, HasObservationModel)
    model, n = subject.fitted(), 2000
    with torch.no_grad():
        samples = model.sample(n, Noise(1)).flatten(1).double()
        z = draw(model.prior().expand((n,)), Noise(2))
        observation: Distribution = model.observation(z)
        means = observation.mean.flatten(1).double()
    error = ((samples.var(0) + means.var(0)) / n).sqrt()
    gap = (samples.mean(0) - means.mean(0)).abs() - 6 * error
    worst = int(gap.argmax())
    seen = f"the mean of a value is {float(samples.mean(0)[worst]):.4g}, and {float(means.mean(0)[worst]):.4g} by p(x)"
    require(float(gap.max()) < 1e-3 * (1 + float(means.abs().max())), seen)
