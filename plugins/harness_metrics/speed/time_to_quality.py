"""Training time until a metric reaches a target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from harness import Context, Data, Estimate, Noise, NotApplicable, TrainsByGradient, TrainsByObjectives, setting
from harness.toolkit import CompetingLoad
from harness_metrics.speed.timing import load_warning


class TimeToQuality:
    """Seconds of training until a metric reaches a target on the validation split.

    The model is trained again, from the seed and within the budget of its fit, and measured after each epoch. The time
    of measuring does not count. The value is the time at the end of the first epoch that reaches the target, so its
    resolution is one epoch.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        load_limit: float = setting(
            0.1, "share of the CPUs that other processes may use without a warning", minimum=0, maximum=1
        )
        target: str = setting(
            "elbo=-100", "metric and value to reach on the validation split, such as elbo=-100", required=True
        )

        def __post_init__(self) -> None:
            self.parsed  # noqa: B018 -- raises ValueError if the target is malformed

        @property
        def parsed(self) -> tuple[str, float]:
            """The metric's name and the value to reach.

            Raises:
                ValueError: the target is not of the form METRIC=VALUE with a finite value.
            """
            name, _, text = self.target.partition("=")
            try:
                value = float(text)
            except ValueError:
                value = math.nan
            if not name or not math.isfinite(value):
                raise ValueError(f"target {self.target!r} is not of the form METRIC=VALUE, such as elbo=-100")
            return name, value

    unit: ClassVar = "s"
    check_settings: ClassVar = {"target": "elbo=-1e9"}
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Train until the target is reached.

        Raises:
            NotApplicable: the target is not reached within the budget, the metric does not apply to the model, or none
                of its values is better than another.
        """
        name, threshold = self.config.parsed
        metric = context.metric(name)
        if metric.direction is None:
            raise NotApplicable(f"{name} has no better direction, so it cannot be a target")
        sign = 1 if metric.direction == "higher" else -1
        watched = replace(data, test=data.validation)
        device = data.train.stored.device
        curve: list[tuple[float, float]] = []

        def reaches_target(trained: nn.Module, seconds: float) -> bool:
            # Measurements of different epochs must not share a checkpoint, nor report their progress as the whole.
            evaluation = replace(context, noise=Noise(0, device), checkpoint=None, progress=lambda share: None)
            with torch.no_grad():
                value: float = metric.measure(trained.eval(), watched, evaluation).value
            curve.append((seconds, value))
            return sign * value >= sign * threshold

        with CompetingLoad() as load:
            context.refit(reaches_target)
        seconds, value = curve[-1]
        if not sign * value >= sign * threshold:
            known = [sign * each for _, each in curve if not math.isnan(each)]
            best = f"the best was {sign * max(known):.5g}" if known else f"{name} was never a number"
            raise NotApplicable(f"not reached in {len(curve)} epoch{'s' * (len(curve) != 1)} ({seconds:.1f} s); {best}")
        return Estimate(
            value=seconds,
            stderr=None,
            n=1,
            parts={"training (epochs)": len(curve), f"{name} ({metric.unit})": value},
            diagnostics={
                "competing_load": load.share,
                "curve": [list(each) for each in curve],
                "device": str(device),
            },
            samples=(seconds,),
            warning=load_warning(load.share, self.config.load_limit),
            threads=torch.get_num_threads(),
        )
