"""What a gradient model minimises: one loss, or several objectives with their own parameters and optimisers."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from harness.errors import HarnessError
from harness.noise import Noise
from harness.settings import setting

Schedule = Literal["constant", "cosine", "staged"]

stages = 8
_passes = sum(3**i for i in range(stages))  # 3,280


def learning_rate_factor(schedule: Schedule, progress: float) -> float:
    """Return the factor of the learning rate when a share ``progress`` of the budget is spent.

    ``cosine`` falls from 1 to 0 along half a cosine (Loshchilov and Hutter, 2017). ``staged`` is 10^(−i/7) in stage
    i = 0, …, 7, which lasts 3^i of 3,280 parts of the budget (Burda, Grosse and Salakhutdinov, 2016).
    """
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    if schedule == "staged":
        stage = sum(progress >= (3**i - 1) / 2 / _passes for i in range(1, stages))
        return float(10 ** (-stage / 7))
    return 1.0


class _UncompiledAdam(Adam):
    """Adam without the decorators that keep torch's compiler from it, which import the compiler.

    That takes longer than the import of all the rest of torch, in every process that trains.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    step = torch.no_grad()(inspect.unwrap(Adam.step))


@dataclass(frozen=True)
class AdamSettings:
    """Settings of Adam (Kingma and Ba, 2015); a model's ``Config`` may derive from it to make them settable."""

    learning_rate: float = setting(1e-3, "step size of Adam", above=0)
    beta1: float = setting(0.9, "decay of Adam's first moment", minimum=0, below=1)
    beta2: float = setting(0.999, "decay of Adam's second moment", minimum=0, below=1)
    epsilon: float = setting(1e-8, "added to Adam's denominator", above=0)
    schedule: Schedule = setting("constant", "of the learning rate over the budget; staged: that of the IWAE paper")

    def optimizer(self, parameters: Iterable[Tensor]) -> Adam:
        """Return Adam over the parameters, fused into one call a step where torch can."""
        kept = list(parameters)
        fused = all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in kept)
        return _UncompiledAdam(
            kept, lr=self.learning_rate, betas=(self.beta1, self.beta2), eps=self.epsilon, fused=fused
        )

    def follow_schedule(self, optimizer: Optimizer, progress: float) -> None:
        """Set the learning rate for the step that begins when a share ``progress`` of the budget is spent."""
        if self.schedule != "constant":
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * learning_rate_factor(self.schedule, progress)


@dataclass(frozen=True)
class Objective:
    """A loss to minimise over some of the parameters.

    Args:
        name: of its curve.
        loss: from a batch ``(B, *shape)`` and noise to the mean loss, a scalar.
        parameters: those that this objective updates; no others get a gradient from it.
        optimizer: the settings of its optimiser.
        repeats: updates in each step, on the same batch with new noise; its curve shows the loss of the last.
        landmark: a value to mark in its curve, with its name: ``("equilibrium, −V = log 4", log(4))``.
    """

    name: str
    loss: Callable[[Tensor, Noise], Tensor]
    parameters: list[nn.Parameter]
    optimizer: AdamSettings
    repeats: int = 1
    landmark: tuple[str, float] | None = None

    def of_batch(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the mean loss of a batch ``(B, *shape)``, a scalar.

        Raises:
            HarnessError: the loss is no scalar.
        """
        value = self.loss(x, noise)
        if not isinstance(value, Tensor):
            raise HarnessError(
                f"its {self.name!r} is a {type(value).__name__}, not a tensor; leave out float() and .item()"
            )
        if value.dim():
            shape = tuple(value.shape)
            raise HarnessError(
                f"its {self.name!r} is a tensor of shape {shape}, not a scalar; average it over examples"
            )
        return value


bound_name = "negative ELBO"


def objectives_of(model: Any, config: Any) -> list[Objective]:
    """Return a model's objectives, or its one loss as an objective over all its parameters.

    The name of the one loss is the model's ``loss_name``, ``negative ELBO`` if it is the bound, or ``loss``.
    """
    if hasattr(model, "objectives"):
        return list(model.objectives())
    adam = config if isinstance(config, AdamSettings) else AdamSettings()
    return [Objective(getattr(model, "loss_name", "loss"), model.loss, _trainable(model), adam)]


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return [each for each in model.parameters() if each.requires_grad]
