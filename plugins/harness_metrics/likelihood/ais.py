"""Annealed importance sampling: the log-likelihood of models with a decoder, and what it can be off by."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from harness import (
    Context,
    Data,
    DataInfo,
    Estimate,
    HasDecoder,
    HasObservationModel,
    Noise,
    NotApplicable,
    StoreError,
    derive_seed,
    draw,
    setting,
)
from harness.toolkit import ObservationSettings, Observed, observed, synchronize
from harness_metrics.likelihood.annealing import (
    Chains,
    DecoderPath,
    LinearPath,
    Path,
    Point,
    RecordedPath,
    Walk,
    anneal,
    schedule,
    settling,
    start,
    tune,
)
from harness_metrics.likelihood.weights import (
    Weights,
    effective,
    log_likelihood_estimate,
    observation_at_mean,
    rows_at_a_time,
)

_tuning_chains = 4  # of each of the first images: hundreds of trajectories a temperature are enough for its step size
_published = {"chains": 16, "temperatures": 10_000, "leapfrog": 10}
_timed = 3  # gradients, to tell what the whole will take
_worth_telling = 10.0  # seconds
_trusted = 0.2  # share of the chains that the effective sample size must reach


class LinearObservationModel(Protocol):
    """A model x = W z + μ + ε with z from N(0, I) and ε from N(0, diag(ψ)), whose paths have a closed form."""

    loadings: Tensor  # W, (dim, latent)
    mean: Tensor  # μ, (dim,)
    noise_variance: Tensor  # ψ, (dim,)


@dataclass(frozen=True)
class AnnealingSettings(ObservationSettings):
    """Settings of annealed importance sampling."""

    examples: int = setting(100, "how many images, the first ones", minimum=2)
    chains: int = setting(16, "chains per image", minimum=2)
    temperatures: int = setting(500, "steps of the path to the posterior", minimum=2)
    leapfrog: int = setting(10, "steps of the trajectory at each temperature", minimum=1)
    start: Literal["auto", "prior", "posterior"] = setting(
        "auto", "of the chains; auto: the encoder's posterior, or the prior where there is none"
    )
    preset: Literal["default", "published"] = setting(
        "default", "published: 16, 10000 and 10 of these, as Wu et al. (2017)"
    )

    def __post_init__(self) -> None:
        if self.preset == "published":
            for field in dataclasses.fields(self):
                wanted = _published.get(field.name)
                if wanted is None:
                    continue
                if getattr(self, field.name) not in (wanted, field.default):
                    raise ValueError(f"preset=published has {field.name}={wanted}; leave one of the two out")
                object.__setattr__(self, field.name, wanted)

    def base(self, decoder: Observed, x: Tensor) -> tuple[Distribution, str]:
        """Return where the chains of examples start, and its name.

        Raises:
            NotApplicable: it is to be the posterior and there is none.
        """
        if self.start == "posterior" and not decoder.encodes:
            raise NotApplicable("it has no encoder to start chains from; take start=prior")
        if self.start != "prior" and decoder.encodes:
            return decoder.posterior(x), "posterior"
        return decoder.prior(), "prior"

    def path(self, decoder: Observed, x: Tensor, announce: Callable[[str], None]) -> Path:
        """Return the path to p(x, z): in closed form for a linear-Gaussian model, else by back-propagation.

        On a GPU its gradients are recorded; ``announce`` is told where they cannot be.
        """
        path = self._path(decoder, x)
        return RecordedPath(path, announce) if x.device.type == "cuda" else path

    def _path(self, decoder: Observed, x: Tensor) -> Path:
        base, prior = self.base(decoder, x)[0], decoder.prior()
        model = decoder.model
        general = DecoderPath(base, prior, decoder.observation, x)
        linear = all(hasattr(model, name) for name in LinearObservationModel.__annotations__)
        if linear and isinstance(base, Independent) and isinstance(base.base_dist, Normal):
            quick = LinearPath(base, model.loadings, model.mean, model.noise_variance, x)
            z = (base.mean + 0.5 * base.stddev).expand(1, len(x), -1)
            if torch.allclose(quick.at(z).joint, general.at(z).joint, rtol=1e-4, atol=1e-2):  # it is what it looks like
                return quick
        return general

    def at_once(self, decoder: Observed, info: DataInfo) -> int:
        """Return how many images are worked on together; the chains of one are never divided."""
        return max(1, rows_at_a_time(decoder, info, self.memory) // self.chains)


class LogLikelihoodAIS:
    """log p(x) by annealed importance sampling (Neal, 2001), as Wu, Burda, Salakhutdinov and Grosse (2017) ran it.

    Chains move from the prior, or the encoder's posterior, to p(z | x) along the geometric path and a sigmoid
    schedule, by one Hamiltonian trajectory a temperature. Step sizes, one a temperature, are tuned to an acceptance of
    0.65 on the first images and frozen, then measured with other noise. The mean weight over chains has expectation
    p(x), and its logarithm, averaged over images, is a stochastic lower bound on log p(x): at most log p(x) in
    expectation. It takes about images × chains × temperatures × leapfrog steps passes through the decoder and back,
    and a quarter more for the tuning; ``evaluations`` is their number. Linear-Gaussian models need no passes.

    ``estimator_stderr`` is how much the figure would scatter over other chains; it is part of the standard error
    over images too. Where most of the chains do not count, the bound may be far off and its row is marked. How far, is
    what ``ais-gap`` asks.
    """

    Config = AnnealingSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "higher"
    needs: ClassVar = (HasObservationModel | HasDecoder,)
    effort: ClassVar = "temperatures"

    def __init__(self, config: AnnealingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on the first examples of the test split.

        Raises:
            NotApplicable: there is no observation model to be had, or no encoder to start from.
        """
        config = self.config
        with frozen(model):
            decoder = observed(model, data, context, config)
            test = data.test.first(config.examples)
            at_once = config.at_once(decoder, data.info)
            annealer = _Annealer(config, context, at_once, len(test), walks=1)
            walks: list[Walk] = []
            for x in test.batches(at_once, context.noise):
                path = config.path(decoder, x, annealer.tell_once)
                walks.append(annealer.walk(path, start(path, config.chains, len(x), context.noise)))
            base = config.base(decoder, x)[1]
        weights = Weights.of(torch.cat([walk.log_weights for walk in walks], dim=1))
        return log_likelihood_estimate(
            weights.log_mean,
            weights.effective_sizes,
            float(weights.variances.sum().sqrt() / len(weights.variances)),
            data.info,
            observation_at_mean(decoder),
            {
                "start": base,
                "acceptance": float(torch.cat([walk.acceptance for walk in walks], dim=1).mean()),
                "evaluations": annealer.gradients,
                **decoder.description,
            },
            trusted=_trusted * config.chains,
        )


class AISGap:
    """How far annealed importance sampling is off, by bidirectional Monte Carlo (Grosse, Ghahramani and Adams, 2015).

    Images are simulated from the model, z from p(z) and x from p(x | z), so that z is an exact sample of p(z | x).
    Chains forward, as ``log-likelihood-ais`` runs them, bound log p(x) from below; chains run in reverse from that z
    bound it from above, both in expectation. The mean difference of the two bounds is the gap.

    It certifies the sampler on images of the model, and no more: on test images that the model finds unlikely, chains
    may do worse.
    """

    Config = AnnealingSettings
    unit: ClassVar = "nats"
    direction: ClassVar = "lower"
    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def __init__(self, config: AnnealingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on images that the model makes; of the data only the kind matters.

        Raises:
            NotApplicable: there is no observation model to be had, or no encoder to start from.
        """
        config, noise = self.config, context.noise
        with frozen(model):
            decoder = observed(model, data, context, config)
            codes = draw(decoder.prior().expand((config.examples,)), noise)
            at_once = config.at_once(decoder, data.info)
            annealer = _Annealer(config, context, at_once, config.examples, walks=2)
            lower, upper, acceptance = [], [], []
            for code in codes.split(at_once):
                x = draw(decoder.observation(code), noise)
                path = config.path(decoder, x, annealer.tell_once)
                forward = annealer.walk(path, start(path, config.chains, len(x), noise))
                reverse = annealer.walk(path, code.expand(config.chains, *code.shape), reverse=True)
                lower.append(forward.log_weights)
                upper.append(reverse.log_weights)
                acceptance += [forward.acceptance, reverse.acceptance]
            base = config.base(decoder, x)[1]
        below, above = Weights.of(torch.cat(lower, dim=1)), Weights.of(torch.cat(upper, dim=1))
        bounds = {"lower bound": below.log_mean, "upper bound": -above.log_mean}
        found = Estimate.over_examples(
            bounds["upper bound"] - bounds["lower bound"],
            counted="simulated images",
            parts=bounds,
            diagnostics={
                "of": "images simulated from the model: it certifies the sampler on these, and no more",
                "start": base,
                "acceptance": float(torch.cat(acceptance, dim=1).mean()),
                "evaluations": annealer.gradients,
                **effective(below.effective_sizes),
                **decoder.description,
            },
        )
        return dataclasses.replace(found, per_example=None)  # each model has images of its own: there are no pairs


class _Annealer:
    """Walks one path after another, with step sizes that it tunes on the first.

    It says beforehand what all that will cost, tells how far it is, and goes on from the context's checkpoint after an
    interruption, bit for bit as if there had been none.

    Args:
        config: the settings.
        context: of the measurement.
        at_once: how many images each path is of, at most.
        images: how many there are.
        walks: how many each image takes part in.
    """

    def __init__(self, config: AnnealingSettings, context: Context, at_once: int, images: int, walks: int) -> None:
        self.config, self.context = config, context
        self._betas = schedule(config.temperatures)
        self._tuning = min(config.chains, _tuning_chains) * min(images, at_once) * (settling + len(self._betas))
        self._trajectories = self._tuning + config.chains * images * walks * config.temperatures
        self._done = self._begun_walks = 0
        self._told: set[str] = set()
        self._checkpoint = context.checkpoint
        state = context.checkpoint.load() if context.checkpoint else None
        self._state: dict[str, Any] = state or {"sizes": None, "ended": [], "chains": None, "noise": None}

    @property
    def gradients(self) -> int:
        """How many gradients of log p(x | z) all the walks take, tuning included."""
        return self._trajectories * self.config.leapfrog

    def walk(self, path: Path, z: Tensor, *, reverse: bool = False) -> Walk:
        """Walk from z, ``(C, N, latent)``, up the schedule or down it."""
        noise, state = self.context.noise, self._state
        if state["sizes"] is None:
            self._announce(path, z)
            state["sizes"] = self._tuned(path, z.shape[1])
        done = self._done = max(self._done, self._tuning)
        self._begun_walks += 1
        if self._begun_walks > len(state["ended"]):
            begun, state["chains"] = state["chains"], None
            if begun is not None:
                noise.restore(state["noise"])
                begun = Chains(begun[0], Point(*begun[1]), *begun[2:])

            def watch(chains: Chains) -> None:
                self._progress(done + chains.passed * z.shape[0] * z.shape[1])
                self._keep(chains)

            betas, sizes = (each.flip(0) if reverse else each for each in (self._betas, state["sizes"]))
            walk = anneal(path, z, betas, sizes, self.config.leapfrog, noise, begun, watch)
            state["ended"].append((tuple(walk), noise.state))
        walk, ended = state["ended"][self._begun_walks - 1]
        noise.restore(ended)
        self._progress(done + self.config.temperatures * z.shape[0] * z.shape[1])
        return Walk(*walk)

    def _tuned(self, path: Path, examples: int) -> Tensor:
        """Tune the step sizes with noise of their own, ``(T + 1,)``: the same whatever the measured chains draw."""
        noise = Noise(derive_seed("step sizes", self.context.noise.generator.initial_seed()), self.context.noise.device)
        z = start(path, min(self.config.chains, _tuning_chains), examples, noise)

        def watch(trajectories: int) -> None:
            self._progress(trajectories * z.shape[0] * examples)

        return tune(path, z, self._betas, self.config.leapfrog, noise, watch)

    def _announce(self, path: Path, z: Tensor) -> None:
        """Say what the walks will take, by the time of a few gradients at z; nothing where that is little."""
        path.at(z)
        synchronize(z.device)
        began = time.perf_counter()
        for _ in range(_timed):
            path.at(z)
        synchronize(z.device)
        seconds = (time.perf_counter() - began) / (_timed * z.shape[0] * z.shape[1]) * self.gradients
        if seconds > _worth_telling:
            self.context.announce(f"annealing takes {self.gradients:,} gradients, about {_duration(seconds)}")

    def tell_once(self, line: str) -> None:
        """Announce a line, unless that was done before."""
        if line not in self._told:
            self._told.add(line)
            self.context.announce(line)

    def _progress(self, trajectories: int) -> None:
        self._done = trajectories
        self.context.progress(trajectories / self._trajectories)

    def _keep(self, chains: Chains) -> None:
        if self._checkpoint is not None and self._checkpoint.is_due:
            passed, point, *sums = chains
            kept = {"chains": (passed, tuple(point), *sums), "noise": self.context.noise.state}
            try:
                self._checkpoint.save({**self._state, **kept}, f"{self._done / self._trajectories:.0%}")
            except StoreError as error:
                self.context.announce(f"goes on without a checkpoint: {error}")
                self._checkpoint = None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Let no gradient of parameters be asked for within the block, which spares keeping what it would take."""
    wanted = [each for each in model.parameters() if each.requires_grad]
    for each in wanted:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in wanted:
            each.requires_grad_(True)
