"""Annealed importance sampling: the log-likelihood of models with a decoder, and a bound on its bias."""

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
    Tuning,
    Walk,
    anneal,
    schedule,
    settling,
    start,
    tune,
)
from harness_metrics.likelihood.weights import (
    Weights,
    first_percentile,
    log_likelihood_estimate,
    observation_at_mean,
    rows_at_a_time,
)

_tuning_chains = 4  # per image: a few hundred trajectories per temperature suffice to tune its step size
_published = {"chains": 16, "temperatures": 10_000, "leapfrog": 10}
_timed_gradients = 3  # to predict the duration of the measurement
_least_effective = 0.2  # of the chains: a smaller effective sample size gives a warning


class LinearObservationModel(Protocol):
    """A model x = W z + μ + ε with z ~ N(0, I) and ε ~ N(0, diag(ψ)), whose paths have a closed form."""

    loadings: Tensor  # W, (dim, latent)
    mean: Tensor  # μ, (dim,)
    noise_variance: Tensor  # ψ, (dim,), or (1,) if it is the same for all values


@dataclass(frozen=True)
class AnnealingSettings(ObservationSettings):
    """Settings of annealed importance sampling."""

    examples: int = setting(
        100, "number of images: test images chosen at random, or simulated ones for ais-gap", minimum=2
    )
    chains: int = setting(16, "chains per image", minimum=2)
    temperatures: int = setting(500, "number of steps of the path to the posterior", minimum=2)
    leapfrog: int = setting(10, "leapfrog steps of the trajectory at each temperature", minimum=1)
    start: Literal["auto", "prior", "posterior"] = setting(
        "auto", "where chains start; auto: the encoder's posterior, or the prior without an encoder"
    )
    preset: Literal["default", "published"] = setting(
        "default", "published: chains=16, temperatures=10000, leapfrog=10, as Wu et al. (2017)"
    )

    def __post_init__(self) -> None:
        if self.preset == "published":
            for field in dataclasses.fields(self):
                wanted = _published.get(field.name)
                if wanted is None:
                    continue
                if getattr(self, field.name) not in (wanted, field.default):
                    raise ValueError(f"preset=published sets {field.name}={wanted}; give only one of the two")
                object.__setattr__(self, field.name, wanted)

    def base(self, decoder: Observed, x: Tensor) -> tuple[Distribution, str]:
        """Return the distribution from which the chains of examples ``x`` start, and its name.

        Raises:
            NotApplicable: ``start`` is the posterior, but there is no encoder.
        """
        if self.start == "posterior" and not decoder.encodes:
            raise NotApplicable("it has no encoder to start chains from; set start=prior")
        if self.start != "prior" and decoder.encodes:
            return decoder.posterior(x), "posterior"
        return decoder.prior(), "prior"

    def path(self, decoder: Observed, x: Tensor, announce: Callable[[str], None]) -> Path:
        """Return the path to p(x, z): in closed form for a linear-Gaussian model, otherwise by back-propagation.

        On a GPU its gradients are recorded as a CUDA graph; ``announce`` reports if that fails.
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
            # A model with these attributes need not be linear-Gaussian.
            if torch.allclose(quick.at(z).joint, general.at(z).joint, rtol=1e-4, atol=1e-2):
                return quick
        return general

    def at_once(self, decoder: Observed, info: DataInfo) -> int:
        """Return how many images to process together; all chains of an image are in one batch."""
        return max(1, rows_at_a_time(decoder, info, self.memory) // self.chains)


_for_checks = {
    "examples": 8,
    "chains": 2,
    "temperatures": 8,
    "leapfrog": 2,
    "variance_images": 4,
    "variance_samples": 10,
}


class LogLikelihoodAIS:
    """log p(x) by annealed importance sampling (Neal, 2001), as in Wu, Burda, Salakhutdinov and Grosse (2017).

    Chains move from the prior, or from the encoder's posterior, to p(z | x) along the geometric path with a sigmoid
    schedule and one Hamiltonian trajectory per temperature. The step size of each temperature is tuned to an acceptance
    of 0.65 on the first images and then frozen; chains are measured with other noise. The mean weight over chains has
    expectation p(x). Its logarithm, averaged over images, is a stochastic lower bound on log p(x). The cost is about
    images × chains × temperatures × leapfrog forward and backward passes through the decoder, and up to a quarter more
    for the tuning; ``evaluations`` is their number. Linear-Gaussian models need no passes.

    Chains from the posterior need fewer temperatures than chains from the prior, so the start is part of the measure:
    rows with different starts are not ranked together.

    ``estimator_stderr`` is the standard error due to the chains; ``stderr``, over images, contains it. If the effective
    sample size is small, the bound may be loose, and there is a warning. ``ais-gap`` measures how loose.
    """

    Config = AnnealingSettings
    unit: ClassVar = "nats"
    check_settings: ClassVar = _for_checks
    direction: ClassVar = "higher"
    bound: ClassVar = "lower"
    needs: ClassVar = (HasObservationModel | HasDecoder,)
    effort: ClassVar = "temperatures"

    def __init__(self, config: AnnealingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on a fixed random choice of test images.

        Raises:
            NotApplicable: the model has no observation model and none can be chosen for it, or no encoder to start
            from.
        """
        config = self.config
        with frozen(model):
            decoder = observed(model, data, context, config)
            test = data.test.subset(config.examples)
            at_once = config.at_once(decoder, data.info)
            annealer = _Annealer(config, context, at_once, len(test), walks_per_image=1)
            walks: list[Walk] = []
            for x in test.batches(at_once, context.noise):
                path = config.path(decoder, x, annealer.announce_once)
                walks.append(annealer.walk(path, start(path, config.chains, len(x), context.noise)))
            base = config.base(decoder, x)[1]
        weights = Weights.of(torch.cat([walk.log_weights for walk in walks], dim=1))
        found = log_likelihood_estimate(
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
            least_effective=_least_effective * config.chains,
        )
        return dataclasses.replace(found, measure=f"{found.measure}; chains from the {base}")


class AISGap:
    """Gap of the bounds of bidirectional Monte Carlo (Grosse, Ghahramani and Adams, 2015) around log p(x).

    Images are simulated from the model: z from p(z), then x from p(x | z), so that z is an exact sample of p(z | x).
    Forward chains, as in ``log-likelihood-ais``, bound log p(x) from below; reverse chains from that z bound it from
    above, both in expectation. The gap is the mean difference of the two bounds: at least the bias of the forward
    chains in expectation.

    It holds for simulated images only: on test images that are unlikely under the model, chains may do worse.
    """

    Config = AnnealingSettings
    unit: ClassVar = "nats"
    check_settings: ClassVar = _for_checks
    direction: ClassVar = "lower"
    needs: ClassVar = (HasObservationModel | HasDecoder,)

    def __init__(self, config: AnnealingSettings) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure on images simulated from the model; of the data, only its kind matters.

        Raises:
            NotApplicable: the model has no observation model and none can be chosen for it, or no encoder to start
            from.
        """
        config, noise = self.config, context.noise
        with frozen(model):
            decoder = observed(model, data, context, config)
            codes = draw(decoder.prior().expand((config.examples,)), noise)
            at_once = config.at_once(decoder, data.info)
            annealer = _Annealer(config, context, at_once, config.examples, walks_per_image=2)
            lower, upper, acceptance = [], [], []
            for code in codes.split(at_once):
                x = draw(decoder.observation(code), noise)
                path = config.path(decoder, x, annealer.announce_once)
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
                "of": "images simulated from the model; on test images the bounds may be looser",
                "start": base,
                "acceptance": float(torch.cat(acceptance, dim=1).mean()),
                "evaluations": annealer.gradients,
                **first_percentile(below.effective_sizes),
                **decoder.description,
            },
            effective_sample_size=float(below.effective_sizes.median()),
        )
        return dataclasses.replace(found, per_example=None)  # each model has its own images, so nothing can be paired


class _Annealer:
    """Anneals along one path after another, with step sizes that it tunes on the first.

    It announces the cost beforehand, reports progress, and resumes from the context's checkpoint after an interruption
    with bit-identical results.

    Args:
        config: the settings.
        context: of the measurement.
        at_once: the largest number of images per path.
        images: the number of all images.
        walks_per_image: 1, or 2 for forward and reverse chains.
    """

    def __init__(
        self, config: AnnealingSettings, context: Context, at_once: int, images: int, walks_per_image: int
    ) -> None:
        self.config, self.context = config, context
        self._betas = schedule(config.temperatures)
        self._tuning = min(config.chains, _tuning_chains) * min(images, at_once) * (settling + len(self._betas))
        self._trajectories = self._tuning + config.chains * images * walks_per_image * config.temperatures
        self._done = self._started_walks = 0
        self._announced: set[str] = set()
        self._checkpoint = context.checkpoint
        state = context.checkpoint.load() if context.checkpoint else None
        self._state: dict[str, Any] = {"tuning": None, "sizes": None, "ended": [], "chains": None, "noise": None}
        self._state |= state or {}

    @property
    def gradients(self) -> int:
        """The number of gradients of log p(x | z) in all walks, including the tuning."""
        return self._trajectories * self.config.leapfrog

    def walk(self, path: Path, z: Tensor, *, reverse: bool = False) -> Walk:
        """Walk from z, ``(C, N, latent)``, up the schedule, or down if ``reverse``."""
        noise, state = self.context.noise, self._state
        if state["sizes"] is None:
            self._announce(path, z)
            state["sizes"], state["tuning"] = self._tuned(path, z.shape[1]), None
        done = self._done = max(self._done, self._tuning)
        self._started_walks += 1
        if self._started_walks > len(state["ended"]):
            partial, state["chains"] = state["chains"], None
            if partial is not None:
                noise.restore(state["noise"])
                partial = Chains(partial[0], Point(*partial[1]), *partial[2:])

            def watch(chains: Chains) -> None:
                self._progress(done + chains.passed * z.shape[0] * z.shape[1])
                self._save(noise, chains=(chains.passed, tuple(chains.point), *chains[2:]))

            betas, sizes = (each.flip(0) if reverse else each for each in (self._betas, state["sizes"]))
            walk = anneal(path, z, betas, sizes, self.config.leapfrog, noise, partial, watch)
            state["ended"].append((tuple(walk), noise.state))
        walk, ended = state["ended"][self._started_walks - 1]
        noise.restore(ended)
        self._progress(done + self.config.temperatures * z.shape[0] * z.shape[1])
        return Walk(*walk)

    def _tuned(self, path: Path, examples: int) -> Tensor:
        """Return the step sizes, ``(T + 1,)``, tuned with separate noise: they do not depend on the measured chains."""
        noise = Noise(derive_seed("step sizes", self.context.noise.generator.initial_seed()), self.context.noise.device)
        z = start(path, min(self.config.chains, _tuning_chains), examples, noise)
        partial = self._state["tuning"]
        if partial is not None:
            noise.restore(self._state["noise"])
            partial = Tuning(Point(*partial[0]), *partial[1:])

        def watch(tuning: Tuning) -> None:
            self._progress(len(tuning.found) * z.shape[0] * examples)
            self._save(noise, tuning=(tuple(tuning.point), *tuning[1:]))

        return tune(path, z, self._betas, self.config.leapfrog, noise, partial, watch)

    def _announce(self, path: Path, z: Tensor) -> None:
        """Announce the cost of all walks, predicted from the time of a few gradients at z."""
        path.at(z)
        synchronize(z.device)
        started = time.perf_counter()
        for _ in range(_timed_gradients):
            path.at(z)
        synchronize(z.device)
        seconds = (time.perf_counter() - started) / (_timed_gradients * z.shape[0] * z.shape[1]) * self.gradients
        line = cost_line(self.gradients, seconds)
        if line is not None:
            self.context.announce(line)

    def announce_once(self, line: str) -> None:
        """Announce a line, but no line twice."""
        if line not in self._announced:
            self._announced.add(line)
            self.context.announce(line)

    def _progress(self, trajectories: int) -> None:
        self._done = trajectories
        self.context.progress(trajectories / self._trajectories)

    def _save(self, noise: Noise, **current: Any) -> None:
        if self._checkpoint is not None and self._checkpoint.is_due:
            state = {**self._state, **current, "noise": noise.state}
            try:
                self._checkpoint.save(state, f"{self._done / self._trajectories:.0%}")
            except StoreError as error:
                self.context.announce(f"continues without checkpoints: {error}")
                self._checkpoint = None


def cost_line(gradients: int, seconds: float) -> str | None:
    """Return the line that announces the cost of a measurement, or None if it takes at most 10 seconds."""
    if seconds <= 10:
        return None
    duration = f"{seconds:.0f} seconds" if seconds < 100 else f"{seconds / 60:.0f} minutes"
    return f"annealing takes {gradients:,} gradients, about {duration}"


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Require no gradients of the parameters within the block, which saves memory."""
    trainable = [each for each in model.parameters() if each.requires_grad]
    for each in trainable:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in trainable:
            each.requires_grad_(True)
