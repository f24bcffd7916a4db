"""What a metric returns: a figure with its uncertainty, and with respect to what a likelihood is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.distributions import Distribution

from harness.checkpoint import Checkpoint
from harness.data import DataInfo
from harness.engine import Execution, Precision
from harness.errors import NotApplicable
from harness.noise import Noise

if TYPE_CHECKING:
    from harness.training import Curves


Look = Callable[[nn.Module, float], bool]


@dataclass(frozen=True)
class Estimate:
    """A measured figure.

    Args:
        value: the figure, in the metric's unit.
        stderr: standard error over test examples (over repeats, for a timing); 0 where the value is exact, None where
            its error is not known.
        n: how many examples (or repeats) it rests on.
        counted: what ``n`` counts and ``stderr`` is over, where it is not test examples: ``samples``.
        per_example: ``(n,)``, in the order of the test split; what paired comparisons need.
        parts: named summands or components, in the same unit unless the name says another: ``peak memory (MiB)``.
        diagnostics: anything else worth keeping, as JSON values. What is ``marked`` there, in words, is shown beside
            the figure on every board: a reason to trust it less. Where ``flattering`` is true besides, the figure errs
            in the model's favour, and is shown without a rank.
        measure: what the figure is one of, where a metric has several kinds that may not be ranked together; for a
            likelihood, see ``likelihood_measure``.
        samples: raw repeats of a timing.
    """

    value: float
    stderr: float | None
    n: int
    per_example: Tensor | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    diagnostics: Mapping[str, Any] = field(default_factory=dict)
    measure: str | None = None
    samples: tuple[float, ...] = ()
    counted: str = "test examples"

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


def _nothing_to_refit(look: Look) -> Curves:
    raise NotApplicable("it is fitted in closed form, in one go")


def _nobody(said: object) -> None:
    pass


def _no_metrics(name: str) -> Any:
    raise LookupError(name)


@dataclass(frozen=True)
class Context:
    """What a metric may use beside the model and the data.

    Args:
        noise: randomness of the evaluation, on the device; the same for every model.
        config: the model's settings, as its ``Config``.
        batch_size: of the fit, or None for a closed-form one.
        seed: of the fit.
        precision: of the fit; see ``harness.training.precision``.
        execution: that was asked for the steps of the fit; see ``harness.engine``.
        refit: trains the model anew from the seed and within the budget of its fit; calls a function with the model
            and the seconds of training after each epoch, until it returns True; returns the curves.
        metric: builds another metric by its name, with its default settings; raises ``NotApplicable`` where the model
            lacks what it needs.
        cache: the harness's own folder, for what may be computed anew at any time; None where there is none.
        checkpoint: where a long measurement keeps its state, or None; removed once its record is written.
        announce: takes one line for the user: what a long measurement will cost.
        progress: takes the share of the measurement that is done.
    """

    noise: Noise
    config: Any
    batch_size: int | None
    seed: int
    precision: Precision = "float32"
    execution: Execution = "eager"
    refit: Callable[[Look], Curves] = _nothing_to_refit
    metric: Callable[[str], Any] = _no_metrics
    cache: Path | None = None
    checkpoint: Checkpoint | None = None
    announce: Callable[[str], None] = _nobody
    progress: Callable[[float], None] = _nobody


def likelihood_measure(info: DataInfo, observation: Distribution) -> str:
    """Say with respect to what a log-likelihood under this observation model is one.

    Two likelihoods may be ranked together only where this text is the same.
    """
    if observation.support.is_discrete:  # type: ignore[union-attr]
        if info.support == "binary":
            return "probability mass on binary pixels"
        return "none: a Bernoulli cross-entropy on grey pixels is not a likelihood"
    return density_measure(info)


def density_measure(info: DataInfo) -> str:
    """Say with respect to what a log-density of the data is one."""
    if info.is_discrete:
        return f"density on {info.scale or 'binary values'}, which is discrete: not dequantized"
    if info.support == "points":
        return "density on points"
    return f"density on {info.scale or 'real values'}"
