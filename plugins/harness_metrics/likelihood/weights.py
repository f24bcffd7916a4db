"""What likelihood metrics have in common: log-mean-exp in a stream, its error, and how the figure is shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent, Normal

from harness import Context, DataInfo, Estimate, HasObservationModel, Split, likelihood_measure
from harness.toolkit import LatentVariableModel, linear, log_importance_weights, rows_within, sum_of_softplus

# Decodings at a time: more leave the processor's caches, fewer are bound by the overhead of each call.
_rows = {"cpu": 1000, "cuda": 100_000}
_exact_from = 5e-3  # variance of a Gaussian from which on float32 tells the distance of an example to its mean


class Weights:
    """Importance weights of n examples, summed as they come, in float64.

    Their mean estimates p(x) without bias; its logarithm is on average too low. The effective sample size,
    (Σw)² / Σw², says how many of the weights count.
    """

    def __init__(self, n: int, device: torch.device) -> None:
        self.count = 0
        self.log_sum = torch.full((n,), -torch.inf, dtype=torch.float64, device=device)
        self.log_sum_of_squares = self.log_sum.clone()
        self.sum_of_logs = torch.zeros_like(self.log_sum)

    @classmethod
    def of(cls, log_weights: Tensor) -> Weights:
        """Return weights that are all there, ``(k, n)``."""
        weights = cls(log_weights.shape[1], log_weights.device)
        weights.add(log_weights)
        return weights

    def add(self, log_weights: Tensor) -> Tensor:
        """Add weights, ``(k, n)``; return the logarithm of their sum, ``(n,)``."""
        most = log_weights.amax(0)
        scaled = (log_weights - most).exp_()
        most = most.double()
        log_sum = scaled.sum(0, dtype=torch.float64).log_() + most
        self.log_sum = torch.logaddexp(self.log_sum, log_sum)
        squares = scaled.square_().sum(0, dtype=torch.float64).log_() + 2 * most
        self.log_sum_of_squares = torch.logaddexp(self.log_sum_of_squares, squares)
        self.sum_of_logs += log_weights.sum(0, dtype=torch.float64)
        self.count += len(log_weights)
        return log_sum

    @property
    def log_mean(self) -> Tensor:
        """The estimate of log p(x)."""
        return self.log_sum - math.log(self.count)

    @property
    def mean_log(self) -> Tensor:
        """The mean of the logarithms: with a posterior as proposal, the evidence lower bound."""
        return self.sum_of_logs / self.count

    @property
    def effective_sizes(self) -> Tensor:
        """The effective sample sizes."""
        return (2 * self.log_sum - self.log_sum_of_squares).exp()

    @property
    def variances(self) -> Tensor:
        """The variance of each estimate of log p(x), to first order (delta method): n / (n − 1) (1 / size − 1 / n)."""
        spread = (1 / self.effective_sizes - 1 / self.count).clamp(min=0)
        return spread * self.count / max(1, self.count - 1)


def rows_at_a_time(decoder: HasObservationModel, info: DataInfo, memory: float) -> int:
    """Return how many codes to decode at a time, within ``memory`` MiB, but at least one."""
    mean = decoder.prior().mean

    def log_prob(z: Tensor) -> Tensor:
        return decoder.observation(z).log_prob(torch.zeros(len(z), *info.shape, device=z.device))

    return min(rows_within(memory, log_prob, mean), _rows.get(mean.device.type, _rows["cpu"]))


def observation_at_mean(decoder: HasObservationModel) -> Distribution:
    """Return p(x | z) at the mean of the prior, for what is the same at every code: its kind, its variance."""
    return decoder.observation(decoder.prior().mean.unsqueeze(0))


def importance_weighted(
    model: LatentVariableModel, split: Split, k: int, rows: int, context: Context
) -> Iterator[tuple[Tensor, Weights]]:
    """Yield examples of a split in order, with k importance weights of each from one encoding; ``rows`` at a time."""
    noise, ended = context.noise, 0
    for x in split.batches(max(1, rows // k), noise):
        posterior = model.posterior(x)
        weights = Weights(len(x), x.device)
        for done in range(0, k, rows):
            weights.add(log_importance_weights(model, x, min(rows, k - done), noise, posterior))
        yield x, weights
        ended += len(x)
        context.progress(ended / len(split))


def log_prob_of_pairs(observation: Distribution, x: Tensor) -> Tensor:
    """Return log p(x | z) for every example with every code, ``(M, N)`` in nats, for a batch of M distributions.

    For Bernoulli and Gaussian values it is a matrix product with a term for each code and one for each example. The
    Gaussian's is taken about the mean of the M means, so that little cancels, and in float64 where the variance is so
    small that this is not enough.
    """
    base = observation.base_dist if isinstance(observation, Independent) else observation
    flat = x.flatten(1)  # (N, d)
    if isinstance(base, Bernoulli):
        logits = base.logits.flatten(1)
        return linear(flat, logits, -sum_of_softplus(logits)).T
    if isinstance(base, Normal):
        mean, scale = base.loc.flatten(1), base.scale.flatten(1)
        if float(scale.amin()) ** 2 < _exact_from:
            flat, mean, scale = flat.double(), mean.double(), scale.double()
        centre = mean.mean(0)
        flat, mean = flat - centre, mean - centre
        precision = scale.square().reciprocal()
        weighted = mean * precision
        of_codes = -0.5 * (mean * weighted).sum(1) - scale.log().sum(1) - 0.5 * mean.shape[1] * math.log(2 * math.pi)
        product = linear(flat, weighted, of_codes)
        if bool((precision == precision[0]).all()):
            return (product - 0.5 * (flat.square() @ precision[0]).unsqueeze(1)).T
        return (product - 0.5 * linear(flat.square(), precision)).T
    return torch.stack([observation.log_prob(each) for each in x], 1)


def per_dimension(values: Tensor, info: DataInfo) -> dict[str, Tensor]:
    """Return log-likelihoods, ``(N,)`` in nats, as bits per dimension where the data are dequantised, as a part.

    −(log p(x) / d − log 256) / log 2 bounds the bits that an original value takes (Theis, van den Oord and Bethge,
    2016).
    """
    if not info.dequantized:
        return {}
    return {"per dimension (bits)": (math.log(256) - values / info.dim) / math.log(2)}


def log_likelihood_estimate(
    values: Tensor,
    sizes: Tensor,
    estimator_stderr: float | None,
    info: DataInfo,
    observation: Distribution,
    diagnostics: Mapping[str, Any],
    trusted: float = 10,
) -> Estimate:
    """Return the figure of a weighted estimate of log p(x) with all that says how far to trust it.

    Args:
        values: estimates of log p(x), ``(N,)`` in nats.
        sizes: effective sample sizes, ``(N,)``.
        estimator_stderr: the part of the error that other samples of z would change; the standard error of the figure
            is over examples and contains it only as far as it differs between them.
        info: of the data.
        observation: any p(x | z) of the model, for its measure and, where it is Gaussian, its variance.
        diagnostics: more of them.
        trusted: a median effective sample size under this marks the row.
    """
    parts = per_dimension(values, info) | {"ESS (median)": sizes.median()}
    base = observation.base_dist if isinstance(observation, Independent) else observation
    if isinstance(base, Normal):
        parts["variance (x∣z)"] = base.variance
    shown: dict[str, Any] = {
        **diagnostics,
        "direction_of_bias": "stochastic lower bound: unbiased in p(x), so too low in log p(x) on average",
        "estimator_stderr": estimator_stderr,
        **effective(sizes),
        **mark(sizes, trusted),
    }
    measure = likelihood_measure(info, observation)
    return Estimate.over_examples(values, parts=parts, measure=measure, diagnostics=shown)


def effective(sizes: Tensor) -> dict[str, float]:
    """Return the median and the first percentile of effective sample sizes."""
    return {
        "effective_sample_size_median": float(sizes.median()),
        "effective_sample_size_1st_percentile": float(sizes.quantile(0.01)),
    }


def mark(sizes: Tensor, trusted: float = 10) -> dict[str, str]:
    """Return a mark, in words, where the median effective sample size is so small that the estimate says little."""
    median = float(sizes.median())
    return {"marked": f"loose: median effective sample size {median:.1f}"} if median < trusted else {}
