"""Denoising diffusion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal

from harness import DataInfo, Noise, NotApplicable, likelihood_measure, setting
from harness_diffusion.networks import NetworkSettings, network_for
from harness_diffusion.scale import Scale
from harness_diffusion.times import stratified_times

BetaSchedule = Literal["linear", "cosine"]
Variance = Literal["posterior", "beta"]
far = 1e3  # replaces infinity as the outer edge of the outermost bins, to keep the gradient finite


class DDPM(nn.Module):
    """Denoising diffusion probabilistic model (Ho, Jain and Abbeel, 2020).

    q(x_t | x_{t−1}) = N(√(1 − β_t) x_{t−1}, β_t I) turns data into noise. p(x_{t−1} | x_t) = N(μ(x_t, t), σ_t² I) turns
    noise back into data; its mean is computed from the network's prediction of the noise. The loss is the unweighted
    squared error of that prediction, or the negative variational bound. Data in [0, 1] is scaled to [−1, 1], and
    outside training predictions of x_0 are clipped to this range. The last reverse step gives the probability of a
    value, one of 256 for 8-bit pixels and one of two for binary pixels, or a density for dequantised or unbounded data.
    Unbounded data should have about unit variance.

    Sampling takes ``sampling_steps`` of the T steps, evenly spaced: a shorter chain with the same q(x_t | x_0) (Nichol
    and Dhariwal, 2021) and the posterior variance, which short chains need.

    On binary data, which the paper does not treat, the network predicts the evidence from the other pixels. Its output
    is added to ½ log q(x_t | 1) / q(x_t | −1); tanh of the sum is the prediction of x_0, and the noise follows from it.
    A network that predicts the noise directly must resolve differences of 0.01 at x_t = 1, and its bound is worse by
    hundreds of nats. σ_t² is the posterior variance β̃_t on binary data, where x_0 is almost certain, and β_t on
    continuous data, where β̃_t would cost about half a nat per value. With β̃_t, σ_1² is β̃_2, as in the paper's code,
    because β̃_1 = 0.

    Our choices: the small network, t stratified over a batch, T = 1000 with the cosine noise schedule, and a cosine
    learning rate instead of averaged weights.
    """

    @dataclass(frozen=True)
    class Config(NetworkSettings):
        """Settings."""

        timesteps: int = setting(1000, "T, number of steps from data to noise", minimum=2)
        beta_schedule: BetaSchedule = setting(
            "cosine", "noise schedule: linear as in Ho et al., or cosine as in Nichol and Dhariwal"
        )
        variance: Literal["auto", "posterior", "beta"] = setting(
            "auto", "σ_t² of the reverse steps in the bound: β̃_t or β_t; auto: β̃_t on binary data, else β_t"
        )
        prediction: Literal["auto", "noise", "log-odds"] = setting(
            "auto", "output of the network: the noise, or the log-odds of binary pixels; auto: log-odds on binary data"
        )
        objective: Literal["simple", "bound"] = setting(
            "simple", "loss: unweighted squared error of the noise, or the negative bound"
        )
        sampling_steps: int = setting(50, "steps per sample, at most T", minimum=1)
        bound_terms: int = setting(10, "how many of the bound's T − 1 inner terms to draw per example", minimum=1)

    check_settings: ClassVar = {"channels": (4, 8), "hidden": (32,), "sampling_steps": 10}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        self.config = config
        self.shape = info.shape
        self.scale = Scale(info)
        self.levels = levels_of(info)
        self.measure = measure_of(info)
        predicted = "log-odds" if info.support == "binary" else "noise"
        self.prediction = predicted if config.prediction == "auto" else config.prediction
        if self.prediction == "log-odds" and info.support != "binary":
            raise NotApplicable(f"prediction=log-odds needs binary data; this data is {info.support}")
        self.network = network_for(info, config)
        alpha_bar = alpha_bars(config.beta_schedule, config.timesteps)
        automatic: Variance = "posterior" if info.support == "binary" else "beta"
        variance = automatic if config.variance == "auto" else config.variance
        self.chain = Chain(alpha_bar, torch.arange(1, config.timesteps + 1), variance)
        kept = torch.linspace(1, config.timesteps, min(config.sampling_steps, config.timesteps)).round().long()
        kept[-1] = config.timesteps  # also with a single step
        self.sampling_chain = Chain(alpha_bar, kept, "posterior")

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss, averaged over examples: the squared error summed over values, or the bound in nats."""
        y = self.scale.to_model(x)
        if self.config.objective == "bound":
            return -self._bound(y, noise, terms=1, clip=False).sum(0).mean()
        times = stratified_times(len(y), noise)
        t = (times * len(self.chain)).long().clamp(max=len(self.chain) - 1)  # a time may round to 1
        epsilon = noise.normal(*y.shape)
        predicted, _ = self._predict(self.chain, self.chain.diffuse(y, t, epsilon), t)
        return (predicted - epsilon).square().flatten(1).sum(1).mean()

    def elbo_terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Estimate the parts of the variational bound (Ho et al., equation 5), each ``(N,)`` in nats.

        ``prior`` is −L_T and exact. ``denoising`` is −Σ L_{t−1} over t = 2…T, estimated without bias at
        ``bound_terms`` values of t, one in each of as many equal parts of the range. ``reconstruction`` is −L_0 at one
        draw of x_1. The variance of these estimates is part of the variance over examples.
        """
        prior, denoising, reconstruction = self._bound(
            self.scale.to_model(x), noise, terms=self.config.bound_terms, clip=True
        )
        return {"prior": prior, "denoising": denoising, "reconstruction": reconstruction}

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw ``n`` examples by ancestral sampling; the last step returns its mean."""
        chain = self.sampling_chain
        y = noise.normal(n, *self.shape)
        for step in reversed(range(len(chain))):
            t = torch.full((n,), step, device=y.device)
            _, clean = self._predict(chain, y, t)
            y = chain.posterior_mean(self.scale.clip(clean), y, t)
            if step > 0:
                y = y + chain.reverse_std[step] * noise.normal(n, *self.shape)
        return self.scale.to_data(y)

    def _predict(self, chain: Chain, y: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted noise and x_0, of the shape of ``y`` = x_t, at indices ``t`` ``(B,)`` of the chain."""
        out = self.network(y, chain.time[t])
        if self.prediction == "noise":
            return out, chain.clean_from_noise(out, y, t)
        clean = (chain.half_log_odds(y, t) + out).tanh()
        return chain.noise_from_clean(clean, y, t), clean

    def _bound(self, y: Tensor, noise: Noise, *, terms: int, clip: bool) -> Tensor:
        """Return −L_T, an estimate of −Σ L_{t−1} and −L_0, ``(3, B)``, for examples on the model's scale."""
        n, chain = len(y), self.chain
        last = torch.full((n,), len(chain) - 1, device=y.device)
        variance = chain.noise[-1].square()
        prior = 0.5 * ((chain.signal[-1] * y).square() + variance - 1 - variance.log()).flatten(1).sum(1)

        def denoised(t: Tensor) -> Tensor:
            _, clean = self._predict(chain, chain.diffuse(y, t, noise.normal(*y.shape)), t)
            return self.scale.clip(clean) if clip else clean

        inner = len(chain) - 1
        terms = min(terms, inner)
        kl = torch.zeros_like(prior)
        for stratum in range(terms):
            t = 1 + ((stratum + noise.uniform(n)) / terms * inner).long()
            t = torch.minimum(t, last)  # the sum may round up
            kl = kl + chain.divergence(y, denoised(t), t)

        reconstruction = self._log_decoder(y, denoised(torch.zeros_like(last)))
        return torch.stack([-prior, -kl * inner / terms, reconstruction])

    def _log_decoder(self, y: Tensor, mean: Tensor) -> Tensor:
        """Return log p(x_0 | x_1), ``(B,)`` in nats: a probability of levels, or a density on the data's scale."""
        std = self.chain.reverse_std[0]
        if self.levels is None:
            density: Tensor = Normal(mean, std, validate_args=False).log_prob(y)
            return density.flatten(1).sum(1) + self.scale.log_det
        return log_prob_of_level(y, mean, std, self.levels).flatten(1).sum(1)


class Chain(nn.Module):
    """Tables of q(x_t | x_0) and q(x_{t−1} | x_t, x_0) for a diffusion that visits some or all of the times 1…T.

    Args:
        alpha_bar: ᾱ_1…ᾱ_T, float64.
        kept: the times to visit, ascending. The index ``t`` of the methods counts these from 0.
        variance: σ² of a reverse step: the posterior variance β̃, or β.
    """

    time: Tensor
    signal: Tensor
    noise: Tensor
    from_clean: Tensor
    from_noisy: Tensor
    reverse_std: Tensor
    weight: Tensor
    constant: Tensor

    def __init__(self, alpha_bar: Tensor, kept: Tensor, variance: Variance) -> None:
        super().__init__()
        here = alpha_bar[kept - 1]
        before = torch.cat([torch.ones(1, dtype=here.dtype), here[:-1]])
        beta = 1 - here / before
        posterior = beta * (1 - before) / (1 - here)  # β̃
        reverse = (posterior if variance == "posterior" else beta).clone()
        if variance == "posterior":  # β̃_1 is 0
            reverse[0] = posterior[1] if len(kept) > 1 else beta[0]
        from_clean = before.sqrt() * beta / (1 - here)
        ratio = posterior / reverse
        tables = {
            "time": kept / len(alpha_bar),
            "signal": here.sqrt(),  # √ᾱ
            "noise": (1 - here).sqrt(),
            "from_clean": from_clean,
            "from_noisy": (here / before).sqrt() * (1 - before) / (1 - here),
            "reverse_std": reverse.sqrt(),
            "weight": from_clean.square() / (2 * reverse),
            "constant": 0.5 * (ratio - 1 - ratio.log()),  # of the divergence, per value
        }
        for name, table in tables.items():
            self.register_buffer(name, table.to(torch.get_default_dtype()), persistent=False)

    def __len__(self) -> int:
        return len(self.time)

    def diffuse(self, x: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
        """Return x_t from x_0 = ``x`` ``(B, *shape)`` and standard noise; indices ``t`` ``(B,)``."""
        return _at(self.signal, t, x) * x + _at(self.noise, t, x) * epsilon

    def clean_from_noise(self, epsilon: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Return the x_0 that the noise ``epsilon`` turns into x_t = ``x``."""
        return (x - _at(self.noise, t, x) * epsilon) / _at(self.signal, t, x)

    def noise_from_clean(self, clean: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Return the noise that turns x_0 = ``clean`` into x_t = ``x``."""
        return (x - _at(self.signal, t, x) * clean) / _at(self.noise, t, x)

    def half_log_odds(self, x: Tensor, t: Tensor) -> Tensor:
        """Return ½ log q(x_t = x | x_0 = 1) / q(x_t = x | x_0 = −1), elementwise."""
        return _at(self.signal / self.noise.square(), t, x) * x

    def posterior_mean(self, clean: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Return the mean of q(x_{t−1} | x_t = x, x_0 = clean)."""
        return _at(self.from_clean, t, x) * clean + _at(self.from_noisy, t, x) * x

    def divergence(self, clean: Tensor, predicted: Tensor, t: Tensor) -> Tensor:
        """Return KL(q(x_{t−1} | x_t, x_0 = clean) ‖ p(x_{t−1} | x_t)), ``(B,)`` in nats, for t > 0.

        The mean of p is computed from the ``predicted`` x_0.
        """
        squared = (clean - predicted).square().flatten(1)
        return self.weight[t] * squared.sum(1) + self.constant[t] * squared.shape[1]


def alpha_bars(schedule: BetaSchedule, timesteps: int) -> Tensor:
    """Return ᾱ_1…ᾱ_T, ``(T,)`` float64.

    ``linear``: β from 1e-4 to 0.02 at T = 1000, scaled by 1000 / T for other T, at most 0.999. ``cosine``:
    ᾱ = cos²((t/T + 0.008) / 1.008 · π/2), each β at most 0.999.
    """
    if schedule == "linear":
        beta = torch.linspace(1e-4, 0.02, timesteps, dtype=torch.float64) * 1000 / timesteps
    else:
        t = torch.linspace(0, 1, timesteps + 1, dtype=torch.float64)
        curve = ((t + 0.008) / 1.008 * math.pi / 2).cos().square()
        beta = 1 - curve[1:] / curve[:-1]
    return (1 - beta.clamp(max=0.999)).cumprod(0)


def log_prob_of_level(y: Tensor, mean: Tensor, std: Tensor, levels: int) -> Tensor:
    """Return the log-probability of ``y``, one of ``levels`` evenly spaced values in [−1, 1], elementwise, in nats.

    It is the probability of the bin around ``y`` under N(mean, std²); the outermost bins are open.
    """
    half = 1 / (levels - 1)
    lower = torch.where(y < -1 + half, -far, y - half)
    upper = torch.where(y > 1 - half, far, y + half)
    # In float64, because the gradient of log Φ in float32 is wrong below −1000 (torch 2.15).
    a, b = (lower - mean).double() / std.double(), (upper - mean).double() / std.double()
    # Φ(b) − Φ(a) = Φ(−a) − Φ(−b): computed in the left tail, where the two logarithms are distinguishable.
    right = a + b > 0
    a, b = torch.where(right, -b, a), torch.where(right, -a, b)
    low: Tensor = torch.special.log_ndtr(a)
    high: Tensor = torch.special.log_ndtr(b)
    return (high + (-(low - high).exp()).log1p()).to(y.dtype)


def levels_of(info: DataInfo) -> int | None:
    """Return the number of values that a pixel can have, or None if it is continuous."""
    if info.support == "binary":
        return 2
    return 256 if info.scale == "pixel / 255" and not info.dequantized else None


def measure_of(info: DataInfo) -> str:
    """Return the reference measure of the bound."""
    levels = levels_of(info)
    if levels == 256:
        return "probability mass on 8-bit pixels"
    return likelihood_measure(info, Bernoulli(torch.tensor(0.5)) if levels else Normal(0.0, 1.0))


def _at(table: Tensor, t: Tensor, x: Tensor) -> Tensor:
    """Return the entries at ``t`` ``(B,)``, shaped to broadcast with ``x`` ``(B, *shape)``."""
    return table[t].view(-1, *[1] * (x.ndim - 1))
