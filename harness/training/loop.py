"""The training loop: epochs of steps over resident data, without waiting for the device inside an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from harness.budget import Pace
from harness.data import Split
from harness.engine import Execution, Precision
from harness.noise import Noise, derive_seed
from harness.products import fast_products
from harness.training.captured import CapturedSteps
from harness.training.compiled import CompiledLosses, rehearse
from harness.training.objectives import Objective
from harness.training.precision import autocast, computing_in
from harness.training.replay import Losses, Unsuited, answering_unsuited


class SteppingLoop(ABC):
    """Shows batches of a split to one model, or to several at once, and keeps their mean losses.

    Args:
        objectives: what each step minimises, in order.
        train: the training split, on the device.
        batch_size: examples a step, of each model.
        precision: of the steps.

    ``execution`` is how steps are taken, and ``fallback`` why they are not taken as they should be.
    """

    def __init__(self, objectives: list[Objective], train: Split, batch_size: int, precision: Precision) -> None:
        self.objectives = objectives
        self.train = train
        self.batch_size = batch_size
        self.precision = precision
        self.device = train.stored.device
        self.execution: Execution = "eager"
        self.fallback: str | None = None
        self._optimizers: list[Adam] = []
        self._captured: CapturedSteps | None = None

    def execute(self, execution: Execution, announce: Callable[[str], None] = lambda line: None) -> None:
        """Have the steps of full batches taken so from now on, or else eagerly, which is announced.

        To be called before the first step.
        """

        def fall_back(reason: Unsuited) -> None:
            self.execution, self._captured = "eager", None
            self.fallback = f"it cannot be {execution}: {reason}"
            announce(f"steps are taken eagerly, since they cannot be {execution}: {reason}")

        self.execution = execution
        if execution == "compiled":
            try:
                self._compile()
            except Unsuited as error:
                fall_back(error)
        elif execution == "captured":
            self._prepare_optimizers(capturable=True)
            self._captured = CapturedSteps(self, self.sizes[0], fall_back)

    def step(self, index: Tensor, progress: float = 0.0) -> Tensor:
        """Take one step on the examples at ``index`` ``(..., B)`` when a share ``progress`` of the budget is spent.

        Returns:
            The losses, ``(..., objectives)``.
        """
        for objective, optimizer in zip(self.objectives, self._optimizers, strict=True):
            objective.optimizer.follow_schedule(optimizer, progress)
        return self._captured(index) if self._captured else self.take(index)

    @abstractmethod
    def take(self, index: Tensor) -> Tensor:
        """Take one step on the examples at ``index`` with the learning rates as they are; see ``step``."""

    @abstractmethod
    def tensors(self) -> list[Tensor]:
        """Return all tensors that steps change, the same ones from the first step on."""

    @abstractmethod
    def streams(self) -> list[Noise]:
        """Return the streams on the device that steps draw from."""

    @abstractmethod
    def _compile(self) -> None:
        """Have the losses of full batches fused from now on.

        Raises:
            Unsuited: that cannot be done, and nothing has changed.
        """

    @abstractmethod
    def _moved(self, which: int) -> list[Tensor]:
        """Return the parameters, of all models, that an objective moves."""

    def _prepare_optimizers(self, capturable: bool = False) -> None:
        self._optimizers = [
            each.optimizer.optimizer(self._moved(which), capturable) for which, each in enumerate(self.objectives)
        ]

    def _optimizer_tensors(self) -> list[Tensor]:
        states = (state for optimizer in self._optimizers for state in optimizer.state.values())
        return [value for state in states for value in state.values() if isinstance(value, Tensor)]

    def _restore_optimizers(self, states: list[dict[str, Any]]) -> None:
        for optimizer, state in zip(self._optimizers, states, strict=True):
            optimizer.load_state_dict(state)
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"] = group["lr"].to(self.device)

    @abstractmethod
    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, in a new order."""

    @property
    def sizes(self) -> list[int]:
        """The sizes of the batches that show every training example once.

        The last batch is shorter where need be; a single example left over joins the batch before it, since batch
        statistics of one example do not exist.
        """
        n, size = len(self.train), self.batch_size
        sizes = [min(size, n - start) for start in range(0, n, size)]
        if size > 1 and len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [size + 1]
        return sizes

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take steps within the block in the precision of the fit, by the quickest products there are."""
        with computing_in(self.precision), fast_products(self.device):
            yield

    def epoch(self, pace: Pace | None = None) -> list[dict[str, float]]:
        """Show every training example once and return each objective's mean loss, one entry a model.

        Where there is a ``pace``, learning rates follow it, and the epoch ends early when the budget does.
        """
        total, seen = torch.zeros((), device=self.device), 0
        with self.computing():
            for index in self.shuffled():
                size = index.shape[-1]
                total = total + self.step(index, pace.progress if pace else 0.0) * size
                seen += size
                if pace is not None:
                    pace.steps += 1
                    if pace.is_over:
                        break
        names = [each.name for each in self.objectives]
        means = (total / seen).view(-1, len(names)).tolist()
        return [dict(zip(names, its_means, strict=True)) for its_means in means]


class Trainer(SteppingLoop):
    """Takes the steps of a gradient fit.

    Batch order, data noise and model noise are separate streams of the seed, so two models of one seed see the
    same images, binarised alike, in the same order. ``mark`` is called with the name of each part of a step as the
    part ends, for those who want to know where the time goes.
    """

    def __init__(
        self,
        model: nn.Module,
        objectives: list[Objective],
        train: Split,
        batch_size: int,
        seed: int,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(objectives, train, batch_size, precision)
        self.model = model
        self._prepare_optimizers()
        self._bystanders = [_others(model, each) for each in objectives]
        self._losses: Callable[[int, Tensor, Noise], Tensor] = Losses(model, objectives)
        self.mark: Callable[[str], None] = _unmarked
        self._order = Noise(derive_seed("batches", seed))
        self._data_noise = Noise(derive_seed("data", seed), self.device)
        self._noise = Noise(derive_seed("noise", seed), self.device)

    def epoch(self, pace: Pace | None = None) -> list[dict[str, float]]:
        """Show every training example once to the model in training mode; see ``SteppingLoop.epoch``."""
        self.model.train()
        return super().epoch(pace)

    def synchronize(self) -> list[nn.Module]:
        """Return the model, in a list of this one seed."""
        return [self.model]

    def take(self, index: Tensor) -> Tensor:
        """Take one step of every objective on the examples at ``index``; return the losses, ``(objectives,)``."""
        x = self.train.batch(index, self._data_noise)
        self.mark("data")
        losses = []
        for which, (objective, optimizer) in enumerate(zip(self.objectives, self._optimizers, strict=True)):
            for _ in range(objective.repeats):
                loss = self._loss(which, x, self._noise)
                self.mark("forward")
                optimizer.zero_grad(set_to_none=True)
                loss.backward(inputs=objective.parameters)
                self.mark("backward")
                optimizer.step()
                self.mark("optimizer")
            losses.append(loss.detach())
        return torch.stack(losses)

    def tensors(self) -> list[Tensor]:
        """See ``SteppingLoop.tensors``."""
        return [*self.model.parameters(), *self.model.buffers(), *self._optimizer_tensors()]

    def streams(self) -> list[Noise]:
        """See ``SteppingLoop.streams``."""
        return [self._data_noise, self._noise]

    def _moved(self, which: int) -> list[Tensor]:
        return list(self.objectives[which].parameters)

    def _compile(self) -> None:
        torch.compiler.reset()
        size, losses = self.sizes[0], Losses(self.model, self.objectives)
        before = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        self.model.train()
        self._losses = CompiledLosses(losses, size)
        noise = Noise(0, self.device)
        try:
            with answering_unsuited(), self.computing():
                x = self.train.batch(torch.arange(size, device=self.device), noise)
                for which in range(len(self.objectives)):
                    rehearse(partial(self._gradient, which, x, noise))
        except BaseException:
            self._losses = losses
            raise
        finally:
            with torch.no_grad():
                for name, buffer in self.model.named_buffers():
                    buffer.copy_(before[name])

    def _loss(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        with autocast(self.precision, self.device), _without_gradient(self._bystanders[which]):
            return self._losses(which, x, noise)

    def _gradient(self, which: int, x: Tensor, noise: Noise) -> tuple[Tensor | None, ...]:
        loss = self._loss(which, x, noise)
        return torch.autograd.grad(loss, self.objectives[which].parameters, allow_unused=True)

    def state(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        return {
            "models": [self.model.state_dict()],
            "optimizers": [each.state_dict() for each in self._optimizers],
            "noise": [each.state for each in (self._order, self._data_noise, self._noise)],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        self.model.load_state_dict(state["models"][0])
        self._restore_optimizers(state["optimizers"])
        for noise, its_state in zip((self._order, self._data_noise, self._noise), state["noise"], strict=True):
            noise.go_on_from(its_state)

    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, in a new order."""
        order = self._order.permutation(len(self.train)).to(self.device)
        yield from order.split(self.sizes)


def _others(model: nn.Module, objective: Objective) -> list[nn.Parameter]:
    """Return the parameters that an objective leaves alone."""
    moved = set(objective.parameters)
    return [each for each in model.parameters() if each.requires_grad and each not in moved]


@contextmanager
def _without_gradient(parameters: list[nn.Parameter]) -> Iterator[None]:
    for each in parameters:
        each.requires_grad_(False)
    try:
        yield
    finally:
        for each in parameters:
            each.requires_grad_(True)


def _unmarked(part: str) -> None:
    pass


@torch.no_grad()
def mean_losses(objectives: list[Objective], split: Split, batch_size: int, seed: int) -> dict[str, float]:
    """Return each objective's mean loss over a split, with the same noise at every call."""
    device = split.stored.device
    noise = Noise(derive_seed("noise", "validation", seed), device)
    total = torch.zeros(len(objectives), device=device)
    with fast_products(device):
        for x in split.batches(batch_size, noise):
            total += torch.stack([each.loss(x, noise) for each in objectives]) * len(x)
    means = (total / len(split)).tolist()
    return {each.name: mean for each, mean in zip(objectives, means, strict=True)}
