"""Annealed importance sampling with Hamiltonian transitions, for many examples and chains at once.

A path leads from a base distribution that can be sampled, p_0(z | x), to the joint density p(x, z):
log f_β = (1 − β) log p_0 + β log p(x, z). Chains walk along it from β = 0 to 1, with one Hamiltonian trajectory at each
β. The mean of their weights has expectation p(x) for any step sizes that are fixed before the chains start: ``tune``
finds them with separate noise, ``anneal`` does not change them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from harness import Noise, draw
from harness.toolkit import GraphRecorder, cuda_graph, side_stream

steepness = 4.0  # of the sigmoid schedule
target_acceptance = 0.65
_learning_rate = 0.7  # change of the log step size per unit of acceptance
_warm_up = 3  # gradients before one is recorded
settling = 25  # trajectories at the base before the first temperature, to find its step size


class Point(NamedTuple):
    """Chains at z ``(C, N, latent)`` with the log densities, ``(C, N)`` float64, and their gradients there."""

    z: Tensor
    base: Tensor
    joint: Tensor
    base_gradient: Tensor
    joint_gradient: Tensor

    def log_density(self, beta: float) -> Tensor:
        """Return log f_β, ``(C, N)``."""
        return self.base.lerp(self.joint, beta)

    def gradient(self, beta: float) -> Tensor:
        """Return ∇ log f_β, ``(C, N, latent)``."""
        return self.base_gradient.lerp(self.joint_gradient, beta)

    def where(self, chosen: Tensor, other: Point) -> Point:
        """Return this point where ``chosen``, ``(C, N)``, is true, and the other elsewhere."""
        wide = chosen.unsqueeze(-1)
        return Point(
            *(torch.where(wide if mine.dim() > 2 else chosen, mine, its) for mine, its in zip(self, other, strict=True))
        )


class Path(Protocol):
    """A base distribution and a joint density for each of N examples.

    ``scale``, broadcastable with z, is the base's standard deviation, the unit of the step sizes.
    """

    base: Distribution
    scale: Tensor

    def at(self, z: Tensor) -> Point:
        """Return the densities and gradients at z ``(C, N, latent)``."""


class DecoderPath:
    """The path to p(x, z) of any differentiable observation model, by back-propagation.

    Args:
        base: of batch shape ``(N,)`` or ``()``.
        prior: p(z).
        observation: from codes ``(B, latent)`` to p(x | z).
        x: the examples, ``(N, *shape)``.
    """

    def __init__(
        self, base: Distribution, prior: Distribution, observation: Callable[[Tensor], Distribution], x: Tensor
    ) -> None:
        self.base, self.prior, self.observation, self.x = base, prior, observation, x
        self.scale = base.stddev

    def at(self, z: Tensor) -> Point:
        """Return the densities and gradients at z."""
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            base = self.base.log_prob(z)
            (base_gradient,) = torch.autograd.grad(base.sum(), z)
            repeated = self.x.expand(len(z), *self.x.shape).flatten(0, 1)
            likelihood = self.observation(z.flatten(0, 1)).log_prob(repeated).unflatten(0, z.shape[:2])
            joint = likelihood + self.prior.log_prob(z)
            (joint_gradient,) = torch.autograd.grad(joint.sum(), z)
        return Point(z.detach(), base.detach().double(), joint.detach().double(), base_gradient, joint_gradient)


class LinearPath:
    """The path to p(x, z) = N(z; 0, I) N(x; W z + μ, diag(ψ)), in closed form and in float64.

    log p(x, z) = c + bᵀ z − ½ zᵀ (I + A) z with A = Wᵀ ψ⁻¹ W and b = Wᵀ ψ⁻¹ (x − μ), so that the cost of a step does
    not depend on the dimension of the examples.

    Args:
        base: a Gaussian with independent components, of batch shape ``(N,)`` or ``()``.
        loadings: W, ``(dim, latent)``.
        mean: μ, ``(dim,)``.
        noise_variance: ψ, ``(dim,)`` or ``(1,)``.
        x: the examples, ``(N, *shape)``.
    """

    def __init__(self, base: Distribution, loadings: Tensor, mean: Tensor, noise_variance: Tensor, x: Tensor) -> None:
        self.base: Distribution = Independent(Normal(base.mean.double(), base.stddev.double(), validate_args=False), 1)
        self.scale = base.stddev.double()
        loadings, variance = loadings.double(), noise_variance.double().expand_as(mean)
        centred = x.flatten(1).double() - mean.double()
        weighted = loadings / variance.unsqueeze(1)
        identity = torch.eye(loadings.shape[1], dtype=torch.float64, device=loadings.device)
        self.precision = identity + loadings.T @ weighted  # I + A
        self.linear = centred @ weighted  # b, (N, latent)
        constants = (len(variance) + len(identity)) * math.log(2 * math.pi) + variance.log().sum()
        self.constant = -0.5 * ((centred.square() / variance).sum(1) + constants)  # c, (N,)
        self.base_constant = -(self.scale.log() + 0.5 * math.log(2 * math.pi)).sum(-1)

    def at(self, z: Tensor) -> Point:
        """Return the densities and gradients at z."""
        z = z.double()
        curved = z @ self.precision
        joint = self.constant + torch.linalg.vecdot(z, self.linear - 0.5 * curved)
        standard = (z - self.base.mean) / self.scale
        base = self.base_constant - 0.5 * standard.square().sum(-1)
        return Point(z, base, joint, -standard / self.scale, self.linear - curved)


class RecordedPath:
    """A path whose densities and gradients are replayed as a CUDA graph, recorded once per shape of z.

    Each recording is compared with the path itself. If recording fails or the results differ, the path is used
    directly.

    Args:
        path: the path.
        announce: reports why the path is used directly.
        record: records work and returns a function that replays it.
    """

    def __init__(self, path: Path, announce: Callable[[str], None], record: GraphRecorder = cuda_graph) -> None:
        self.base, self.scale = path.base, path.scale
        self._path, self._announce, self._record = path, announce, record
        self._recordings: dict[tuple[torch.Size, torch.dtype], Callable[[Tensor], Point]] = {}

    def at(self, z: Tensor) -> Point:
        """Return the densities and gradients at z."""
        kind = z.shape, z.dtype
        if kind not in self._recordings:
            self._recordings[kind] = self._recorded(z)
        return self._recordings[kind](z)

    def _recorded(self, z: Tensor) -> Callable[[Tensor], Point]:
        placed = z.detach().clone()
        with side_stream(z.device):
            for _ in range(_warm_up):
                found = self._path.at(placed)
        found = Point(*(torch.empty_like(each) for each in found))

        def work() -> None:
            for recorded, current in zip(found, self._path.at(placed), strict=True):
                recorded.copy_(current)

        try:
            replay = self._record(work, ())
        except RuntimeError as error:
            self._announce(f"gradients are not recorded as a CUDA graph: {error}")
            return self._path.at

        def replayed(z: Tensor) -> Point:
            placed.copy_(z)
            replay()
            return Point(*(each.clone() for each in found))

        pairs = [pair for at in (z, 0.5 * z) for pair in zip(replayed(at), self._path.at(at), strict=True)]
        if all(torch.allclose(mine, its, rtol=1e-5, atol=1e-4, equal_nan=True) for mine, its in pairs):
            return replayed
        self._announce("gradients are not recorded as a CUDA graph: the recorded ones differ")
        return self._path.at


class Chains(NamedTuple):
    """Chains after ``passed`` temperatures, with the sums so far of log weights and acceptance, ``(C, N)``."""

    passed: int
    point: Point
    log_weights: Tensor
    acceptance: Tensor


class Tuning(NamedTuple):
    """Step sizes so far: the chains, the size of the next trajectory, and the sizes of all before it."""

    point: Point
    size: float
    found: list[float]


class Walk(NamedTuple):
    """The result of a walk along a path: log weights and mean acceptance probabilities, both ``(C, N)`` float64."""

    log_weights: Tensor
    acceptance: Tensor


def schedule(temperatures: int) -> Tensor:
    """Return β_0 = 0 to β_T = 1, ``(T + 1,)`` float64 on the CPU: the sigmoid on [−4, 4], rescaled to [0, 1]."""
    curve = torch.linspace(-steepness, steepness, temperatures + 1, dtype=torch.float64).sigmoid()
    return (curve - curve[0]) / (curve[-1] - curve[0])


def start(path: Path, chains: int, examples: int, noise: Noise) -> Tensor:
    """Sample z from the base, ``(C, N, latent)``."""
    return draw(path.base.expand(torch.Size([examples])), noise, chains)


def leapfrog(path: Path, point: Point, momentum: Tensor, beta: float, step: float, steps: int) -> tuple[Point, Tensor]:
    """Integrate Hamilton's equations for −log f_β; return the final point and the final momentum.

    z is in units of the base's scale, in which the momentum, ``(C, N, latent)``, has unit mass. The integrator is
    reversible: from the final point with the momentum negated, it returns to the start.
    """
    for _ in range(steps):
        momentum = momentum + (0.5 * step) * path.scale * point.gradient(beta)
        point = path.at(point.z + step * path.scale * momentum)
        momentum = momentum + (0.5 * step) * path.scale * point.gradient(beta)
    return point, momentum


def transition(path: Path, point: Point, beta: float, step: float, steps: int, noise: Noise) -> tuple[Point, Tensor]:
    """Take one Hamiltonian transition, which leaves f_β invariant; return the point and the acceptance ``(C, N)``."""
    momentum = noise.normal(*point.z.shape).to(point.z.dtype)
    proposed, ended = leapfrog(path, point, momentum, beta, step, steps)
    kinetic = 0.5 * (ended.double().square().sum(-1) - momentum.double().square().sum(-1))
    gain = proposed.log_density(beta) - point.log_density(beta) - kinetic
    acceptance = gain.nan_to_num(nan=-math.inf).exp().clamp(max=1)
    return proposed.where(noise.uniform(*acceptance.shape) < acceptance, point), acceptance


def _ignore(value: object) -> None:
    pass


def tune(
    path: Path,
    z: Tensor,
    betas: Tensor,
    steps: int,
    noise: Noise,
    partial: Tuning | None = None,
    watch: Callable[[Tuning], None] = _ignore,
) -> Tensor:
    """Find a step size for every temperature at which about 65% of the trajectories are accepted.

    Args:
        path: the path.
        z: the start, sampled from the base, ``(C, N, latent)``.
        betas: the schedule, ``(T + 1,)``.
        steps: leapfrog steps of a trajectory.
        noise: of the tuning only, so that the step sizes do not depend on the measured chains.
        partial: an interrupted tuning, to resume from instead of z.
        watch: called after each trajectory with the step sizes so far.

    Returns:
        Step sizes in units of the base's scale, ``(T + 1,)``.
    """
    point, size, found = partial or Tuning(path.at(z), 0.5, [])
    found = found.copy()
    for beta in ([0.0] * settling + betas.tolist())[len(found) :]:
        point, acceptance = transition(path, point, beta, size, steps, noise)
        size *= math.exp(_learning_rate * (float(acceptance.mean()) - target_acceptance))
        found.append(size)
        watch(Tuning(point, size, found))
    return torch.tensor(found[settling:], dtype=torch.float64)


def anneal(
    path: Path,
    z: Tensor,
    betas: Tensor,
    sizes: Tensor,
    steps: int,
    noise: Noise,
    partial: Chains | None = None,
    watch: Callable[[Chains], None] = _ignore,
) -> Walk:
    """Walk from β_0 to β_T and sum log f_{β_t}(z) − log f_{β_{t−1}}(z) (Neal, 2001).

    If z is sampled from f at β_0, the weights have expectation Z(β_T) / Z(β_0): p(x) along the schedule, and 1 / p(x)
    along the reversed schedule from samples of the exact posterior.

    Args:
        path: the path.
        z: the start, ``(C, N, latent)``.
        betas: the schedule, ``(T + 1,)``, increasing or decreasing.
        sizes: step size at each β, ``(T + 1,)``.
        steps: leapfrog steps of a trajectory.
        noise: of momenta and acceptance.
        partial: chains of an interrupted walk, to resume from instead of z.
        watch: called with the chains after each temperature.
    """
    if partial is None:
        point = path.at(z)
        partial = Chains(0, point, torch.zeros_like(point.joint), torch.zeros_like(point.joint))
    passed, point, log_weights, total = partial
    levels, steps_of = betas.tolist(), sizes.tolist()
    for t in range(passed + 1, len(levels)):
        log_weights = log_weights + (levels[t] - levels[t - 1]) * (point.joint - point.base)
        if t < len(levels) - 1:  # samples at the last β enter no weight
            point, acceptance = transition(path, point, levels[t], steps_of[t], steps, noise)
            total = total + acceptance
        watch(Chains(t, point, log_weights, total))
    return Walk(log_weights, total / max(1, len(levels) - 2))
