"""The contract of a metric: what it declares, what it receives, and the estimate that it returns."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

from torch import Tensor, nn
from torch.distributions import Distribution

from harness.contracts.checkpoints import Checkpoint
from harness.contracts.curves import Curves
from harness.contracts.engine import Precision, StepMode
from harness.data.dataset import Data, DataInfo
from harness.errors import NotApplicable
from harness.noise import Noise

AfterEpoch = Callable[[nn.Module, float], bool]
Aspect = Literal["fidelity", "diversity", "overall", "memorisation"]
aspects: tuple[Aspect, ...] = get_args(Aspect)


class Metric(Protocol):
    """A metric: a class built as ``Metric(config)`` with these attributes, which is checked before any training.

    Seven more attributes, of the class, are optional:

    - ``needs``, a tuple of capabilities that the model must have (see ``harness.contracts.models``). A union such as
      ``HasPosterior | HasBound`` is met by either. Without ``needs`` every model is measured.
    - ``times_the_machine = True``: the result is a timing. The machine is then part of its identity. It is measured
      last, while nothing else of the run is computed, in several rounds, each in a fresh process. The mean over rounds
      is recorded, with its standard error over rounds.
    - ``depends_on_seed = False``: the value is the same for every seed of a model, as the number of its parameters is.
      Only the first seed is measured, which is then enough for a rank.
    - ``bound = "lower"`` or ``"upper"``: values are bounds of what the metric is named after. Boards say that errors
      leave out how loose they are.
    - ``at_least``, a tuple of names of metrics: on the same fit the value is at least theirs, as a tighter bound is.
      Where it is significantly less, boards say that one of the two is wrong, and rank neither.
    - ``effort``, the name of the integer setting that buys accuracy. Such a metric estimates log p(x), also has a
      setting ``examples``, and is compared with exact values by ``harness calibrate``.
    - ``limits``: what the metric cannot see, in one sentence, which its boards show.

    A metric of samples may have a method ``compare(samples, test, train) -> float`` on features ``(m, d)``, ``(n, d)``
    and ``(N, d)``, float64, which uses nothing else. ``harness calibrate`` then runs it on data whose truth is known.
    What is expected of it depends on an attribute ``aspect`` of the class: ``fidelity`` or ``diversity``, from 0 to 1;
    ``overall``, the default, for any difference between distributions; ``memorisation`` of training data; or None for
    a metric that these checks do not suit. If it has a method ``between_gaussians(mean, covariance, other_mean,
    other_covariance) -> float``, its exact value for two Gaussians, its values are compared with it.

    A metric with settings has a frozen dataclass ``Config``.
    """

    @property
    def unit(self) -> str:
        """The unit of the value, such as ``nats``."""

    @property
    def direction(self) -> str | None:
        """Which values are better: ``higher``, ``lower``, or None if neither is; rows are then not ranked."""

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Measure a fitted model, which is in evaluation mode, without gradients.

        Args:
            model: has every capability in ``needs``.
            data: the model was fitted on ``data.train``; measure on ``data.test``.
            context: randomness and other services.

        Raises:
            NotApplicable: the metric has no meaning for this model or data; recorded as ``n/a`` with the reason.
        """


@dataclass(frozen=True)
class Estimate:
    """A measured value with its uncertainty.

    Args:
        value: in the metric's unit.
        stderr: standard error over test examples (over repeats, for a timing); 0 if the value is exact, None if its
            error is not known.
        n: number of examples (or repeats) that the value is computed from.
        per_example: ``(n,)``, in the order of ``data.test.subset(n)``, which is the test split if n is its size; for
            paired comparisons.
        parts: named summands or components, in the same unit unless the name ends with another: ``peak memory (MiB)``.
            Over rounds of a timing they are averaged; one that is a whole number in each round has the median.
        diagnostics: anything else worth keeping, as JSON values. Nothing here changes a rank.
        measure: the reference measure, for a metric with several kinds of values that must not be ranked together; for
            a likelihood, what ``likelihood_measure`` returns.
        samples: raw repeats of a timing.
        counted: what ``n`` counts and ``stderr`` is over, if not test examples, such as ``samples``.
        warning: a reason to trust the value less; shown next to it on every board.
        biased_in_favour: whether the error is known to favour the model; the row then has no rank.
        contradiction: why the value cannot be right, such as that it contradicts another one; shown next to it on every
            board, and the row then has no rank.
        threads: CPU threads that a timing was taken with; timings with different threads are not ranked together.
        estimator_stderr: the part of the error that comes from the estimator's own randomness, in the metric's unit.
        effective_sample_size: of an importance-weighted estimate, the median over examples.
        degrees_of_freedom: of ``stderr``, and of ``estimator_stderr`` beside ``group_values``; None if it has many. A
            jackknife over ten groups has nine.
        group_values: pseudo-values from resampling the test examples, for a metric that has no per-example values. The
            standard error of their mean is the error, and the groups that are resampled must be the same for every
            model. Comparisons are paired on them, and ``estimator_stderr`` is then the rest of the error, which is
            independent between models.
    """

    value: float
    stderr: float | None
    n: int
    per_example: Tensor | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    measure: str | None = None
    samples: Sequence[float] = ()
    counted: str = "test examples"
    warning: str | None = None
    biased_in_favour: bool = False
    contradiction: str | None = None
    threads: int | None = None
    estimator_stderr: float | None = None
    effective_sample_size: float | None = None
    degrees_of_freedom: float | None = None
    group_values: Sequence[float] = ()

    @classmethod
    def over_examples(cls, values: Tensor, parts: Mapping[str, Tensor] | None = None, **more: Any) -> Estimate:
        """Average one value per test example, ``(n,)``, in float64; parts likewise."""
        exact = values.detach().double().cpu()
        return cls(
            value=float(exact.mean()),
            stderr=float(exact.std() / len(exact) ** 0.5) if len(exact) > 1 else None,
            n=len(exact),
            per_example=exact,
            parts={name: float(part.detach().double().mean()) for name, part in (parts or {}).items()},
            **more,
        )


def _no_refit(after_epoch: AfterEpoch) -> Curves:
    raise NotApplicable("it is fitted in closed form, without epochs")


def _ignore(value: object) -> None:
    pass


def _no_metrics(name: str) -> Any:
    raise LookupError(name)


@dataclass(frozen=True)
class Context:
    """What a metric receives in addition to the model and the data.

    Args:
        noise: randomness of the evaluation, on the device; the same for every model.
        config: the model's settings, as its ``Config``.
        batch_size: of the fit, or None for a closed-form one.
        seed: of the fit.
        precision: of the fit.
        step_mode: of the fit, as requested.
        refit: trains the model again, from the seed and within the budget of its fit; calls a function with the model
            and the seconds of training after each epoch, until it returns True; returns the curves.
        metric: builds another metric by its name, with its default settings; raises ``NotApplicable`` if the model
            lacks what that metric needs.
        cache: the harness's own folder, for files that can be computed again at any time; None if there is none.
        checkpoint: where a long measurement keeps its state, or None; removed once the result is stored.
        announce: shows the user one line, such as how long a measurement will take.
        progress: reports which share of the measurement is done, from 0 to 1.
    """

    noise: Noise
    config: Any
    batch_size: int | None
    seed: int
    precision: Precision = "float32"
    step_mode: StepMode = "eager"
    refit: Callable[[AfterEpoch], Curves] = _no_refit
    metric: Callable[[str], Any] = _no_metrics
    cache: Path | None = None
    checkpoint: Checkpoint | None = None
    announce: Callable[[str], None] = _ignore
    progress: Callable[[float], None] = _ignore

    @property
    def execution(self) -> StepMode:
        """The former name of ``step_mode``."""
        warnings.warn("Context.execution is now Context.step_mode", DeprecationWarning, stacklevel=2)
        return self.step_mode


def likelihood_measure(info: DataInfo, observation: Distribution) -> str:
    """Return the reference measure of a log-likelihood under this observation model.

    Two likelihoods may be ranked together only if this text is equal.
    """
    if observation.support.is_discrete:  # type: ignore[union-attr]
        if info.support == "binary":
            return "probability mass on binary pixels"
        return "none: a Bernoulli cross-entropy on grey pixels is not a likelihood"
    return density_measure(info)


def density_measure(info: DataInfo) -> str:
    """Return the reference measure of a log-density of the data."""
    if info.is_discrete:
        return f"density on {info.scale or 'binary values'}, which is discrete: not dequantized"
    if info.support == "points":
        return "density on points"
    return f"density on {info.scale or 'real values'}"
