"""The work whose speed and cost are measured: training steps, sampling, reconstruction and encoding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import cycle
from typing import Any

import torch
from torch import Tensor, nn

from harness import (
    Context,
    Data,
    HasEncoder,
    HasPosterior,
    Noise,
    NotApplicable,
    Reconstructs,
    Samples,
    Trainer,
    TrainsByGradient,
    TrainsByObjectives,
    derive_seed,
    objectives_of,
)

rotation = 16  # number of training batches to cycle through


def trains_in_steps(model: Any, context: Context) -> bool:
    """Return whether the model was trained in gradient steps."""
    return context.batch_size is not None and isinstance(model, TrainsByGradient | TrainsByObjectives)


def own_batch(data: Data, context: Context) -> int:
    """Return the batch size of the fit, at most the size of the training split.

    Raises:
        NotApplicable: the model was fitted in closed form.
    """
    if context.batch_size is None:
        raise NotApplicable("it is fitted in closed form, not in steps")
    return min(context.batch_size, len(data.train))


class Training:
    """Trains a copy of a model; a call takes a whole training step: batch, forward, backward and optimiser.

    Args:
        model: the copy.
        step: takes a step.
    """

    def __init__(self, model: nn.Module, step: Callable[[], None]) -> None:
        self.model = model
        self.step = step

    def __call__(self) -> None:
        """Take a step."""
        self.step()

    def free_gradients(self) -> None:
        """Free the gradients of the last step, which are else in memory until the next backward pass."""
        for parameter in self.model.parameters():
            parameter.grad = None


def training(model: Any, data: Data, context: Context, batch: int) -> Training:
    """Return the training of a copy of the model on ``batch`` examples per step.

    It is in the step mode and precision of the fit. The examples are chosen beforehand without replacement.
    """
    copied = copy.deepcopy(model).train()
    objectives = objectives_of(copied, context.config)
    trainer = Trainer(copied, objectives, data.train, batch, context.seed, context.precision)
    order = Noise(derive_seed("timed batches", context.seed)).permutation(len(data.train))
    whole = order[: len(order) // batch * batch].to(data.train.stored.device)
    batches = cycle(whole.split(batch)[:rotation])

    def step() -> None:
        with torch.enable_grad(), trainer.computing():
            trainer.step(next(batches))

    with torch.enable_grad():
        trainer.use(context.step_mode, context.announce)
    while not trainer.is_settled:
        step()
    return Training(copied, step)


def sampling(model: Samples, context: Context, batch: int) -> Callable[[], Tensor]:
    """Return a function that samples ``batch`` examples."""
    return lambda: model.sample(batch, context.noise)


def reconstructing(model: Reconstructs, data: Data, context: Context, batch: int) -> Callable[[], Tensor]:
    """Return a function that reconstructs ``batch`` test examples."""
    x = some_examples(data, context, batch)
    return lambda: model.reconstruct(x)


def forward(model: Any, data: Data, context: Context, batch: int) -> tuple[str, Callable[[], Tensor]]:
    """Return ``sampling`` or, if the model cannot sample, ``reconstruction``, with the function that does it."""
    if isinstance(model, Samples):
        return "sampling", sampling(model, context, batch)
    return "reconstruction", reconstructing(model, data, context, batch)


def encoding(model: HasPosterior | HasEncoder, data: Data, context: Context, batch: int) -> Callable[[], object]:
    """Return a function that encodes ``batch`` test examples to q(z | x) or, without a posterior, to codes."""
    x = some_examples(data, context, batch)
    if isinstance(model, HasPosterior):
        return lambda: model.posterior(x)
    return lambda: model.encode(x)


def some_examples(data: Data, context: Context, batch: int) -> Tensor:
    """Return ``batch`` test examples, ``(batch, *shape)``, repeated if there are too few."""
    test = data.test.subset(batch)
    return test.batch(torch.arange(batch, device=test.stored.device) % len(test), context.noise)
