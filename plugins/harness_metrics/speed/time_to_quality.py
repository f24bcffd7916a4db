"""How long a model trains until it is good enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import nn

from harness import Context, Data, Estimate, Noise, NotApplicable, TrainsByGradient, TrainsByObjectives, setting
from harness.toolkit import CompetingLoad
from harness_metrics.speed.timing import competition


class TimeToQuality:
    """Seconds of training until a metric passes a threshold on the validation split.

    The model is trained anew, from the seed and within the budget of its fit, and measured after each epoch; the time
    of measuring is not counted. The figure is the time at the end of the first epoch that passes, so it is exact to
    within one epoch.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        load_limit: float = setting(
            0.1, "share of the CPUs that others may use before the figure is marked", minimum=0, maximum=1
        )
        target: str = setting("elbo=-100", "metric and value to reach on the validation split; also --target")

        def __post_init__(self) -> None:
            self.parsed  # noqa: B018 -- raises where it cannot be read

        @property
        def parsed(self) -> tuple[str, float]:
            """The metric's name and the value."""
            name, _, value = self.target.partition("=")
            try:
                return name, float(value)
            except ValueError:
                raise ValueError(f"target {self.target!r} is not of the form METRIC=VALUE, as in elbo=-100") from None

    unit: ClassVar = "s"
    direction: ClassVar = "lower"
    needs: ClassVar = (TrainsByGradient | TrainsByObjectives,)
    times_the_machine: ClassVar = True

    def __init__(self, config: Config) -> None:
        self.config = config

    def measure(self, model: Any, data: Data, context: Context) -> Estimate:
        """Train until the target is reached.

        Raises:
            NotApplicable: it is not reached within the budget, or the metric does not apply to the model.
        """
        name, threshold = self.config.parsed
        metric = context.metric(name)
        if metric.direction is None:
            raise NotApplicable(f"neither end of {name} is better, so that no value of it is reached")
        sign = 1 if metric.direction == "higher" else -1
        watched = replace(data, test=data.validation)
        device = data.train.stored.device
        seen: list[tuple[float, float]] = []

        def look(trained: nn.Module, seconds: float) -> bool:
            # Nothing of one epoch's measurement is to be taken for another's, nor for the whole.
            evaluation = replace(context, noise=Noise(0, device), checkpoint=None, progress=lambda share: None)
            with torch.no_grad():
                value: float = metric.measure(trained.eval(), watched, evaluation).value
            seen.append((seconds, value))
            return sign * value >= sign * threshold

        with CompetingLoad() as load:
            context.refit(look)
        seconds, value = seen[-1]
        if not sign * value >= sign * threshold:
            known = [sign * each for _, each in seen if not math.isnan(each)]
            nearest = f"the nearest was {sign * max(known):.5g}" if known else f"{name} was never a number"
            raise NotApplicable(f"not reached in {len(seen)} epochs ({seconds:.1f} s); {nearest}")
        return Estimate(
            value=seconds,
            stderr=None,
            n=1,
            parts={"training (epochs)": len(seen), f"{name} ({metric.unit})": value},
            diagnostics={
                **competition([load.share], self.config.load_limit),
                "curve": [list(each) for each in seen],
                "device": str(device),
                "threads": torch.get_num_threads(),
            },
            samples=(seconds,),
        )
