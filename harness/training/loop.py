"""The training loop: epochs of steps over resident data, without waiting for the device inside an epoch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from harness.contracts.engine import StepMode
from harness.data.dataset import Split
from harness.machine.fast_linear import fast_linear
from harness.machine.precision import computing_in
from harness.noise import Noise
from harness.planning.budget import BudgetProgress
from harness.training.pure_losses import Unsupported
from harness.training.seed_noise import streams_of
from harness.training.steps import EagerSteps, Steps, TrainingStep, strategies
from harness.training.steps.step import counters_of, restore_counters


class TrainingLoop:
    """Shows batches of a split to one model, or to several at once, and returns their mean losses.

    Args:
        training_step: what each step does.
        train: the training split, on the device.
        batch_size: examples a step, of each model.
        order: draws the order of the examples, once an epoch.
        synchronize: copies the state of training into the model of each seed, and returns the models.
        use_onednn: see ``fast_linear``.

    ``step_mode`` is how steps are executed, and ``fallback`` the reason if that is not the mode asked for.
    """

    def __init__(
        self,
        training_step: TrainingStep,
        train: Split,
        batch_size: int,
        order: Noise,
        synchronize: Callable[[], list[nn.Module]],
        use_onednn: bool | None,
    ) -> None:
        self.training_step = training_step
        self.train = train
        self.batch_size = batch_size
        self.device = train.stored.device
        self.use_onednn = use_onednn
        self.synchronize = synchronize
        self.step_mode: StepMode = "eager"
        self.fallback: str | None = None
        self._order = order
        self._streams = [*streams_of(order), *training_step.streams]
        self._steps: Steps = EagerSteps(training_step)
        self._announce: Callable[[str], None] = lambda line: None

    def use(
        self,
        step_mode: StepMode,
        announce: Callable[[str], None] = lambda line: None,
        strategies: Mapping[StepMode, Callable[[TrainingStep], Steps]] = strategies,
    ) -> None:
        """Execute the steps of full batches in this mode from now on, or eagerly if that fails, which is announced."""
        self.step_mode, self._announce = step_mode, announce
        self.training_step.network.train()
        try:
            with self.computing():
                self._steps = strategies[step_mode](self.training_step)
        except Unsupported as error:
            self._fall_back(str(error))

    @property
    def is_settled(self) -> bool:
        """Whether all further full batches take the same path, so that steps can be timed."""
        return self._steps.is_settled

    def finish(self) -> None:
        """Free what was compiled or captured, and the gradients; to be called after the last step."""
        if not self.is_settled:
            self.fallback = f"there were too few full batches for it to be {self.step_mode}"
            self.step_mode = "eager"
        self._steps = EagerSteps(self.training_step)
        for optimizer in self.training_step.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _fall_back(self, reason: str) -> None:
        self._announce(f"steps are eager, since they cannot be {self.step_mode}: {reason}")
        self._use_eager_steps(f"it cannot be {self.step_mode}: {reason}")

    def _use_eager_steps(self, fallback: str) -> None:
        self.step_mode, self.fallback, self._steps = "eager", fallback, EagerSteps(self.training_step)

    def step(self, index: Tensor, progress: float = 0.0) -> Tensor:
        """Take one step on the examples at ``index`` ``(..., B)`` when a share ``progress`` of the budget is spent.

        Returns:
            The losses, ``(..., objectives)``.
        """
        for objective, optimizer in zip(self.training_step.objectives, self.training_step.optimizers, strict=True):
            objective.optimizer.follow_schedule(optimizer, progress)
        losses = self._steps.take(index)
        if self._steps.refusal is not None:
            self._fall_back(self._steps.refusal)
        return losses

    def state(self) -> dict[str, Any]:
        """Return everything that the next steps depend on."""
        models = self.synchronize()
        return {
            "tensors": [each.detach() for each in self.training_step.tensors()],
            "counters": [counters_of(each) for each in (self.training_step.network, *models)],
            "optimizers": [each.state_dict() for each in self.training_step.optimizers],
            "noise": [each.state for each in self._streams],
            "fallback": self.fallback,
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Resume from what ``state`` returned; to be called before the first step."""
        if state["fallback"] is not None:
            self._use_eager_steps(state["fallback"])
        for tensor, saved in zip(self.training_step.tensors(), state["tensors"], strict=True):
            tensor.copy_(saved)
        for model, counters in zip((self.training_step.network, *self.synchronize()), state["counters"], strict=True):
            restore_counters(model, counters)
        for noise, its_state in zip(self._streams, state["noise"], strict=True):
            noise.restore(its_state)
        for optimizer, its_state in zip(self.training_step.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)

    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, ``(..., B)``, in a new random order."""
        order = self._order.permutation(len(self.train)).to(self.device)
        yield from order.split(self.sizes, dim=-1)

    def full_batches(self) -> Iterator[Tensor]:
        """Yield the index of one full batch after another, without end, in a new random order in each epoch."""
        size = min(self.batch_size, len(self.train))
        return (index for _ in itertools.count() for index in self.shuffled() if index.shape[-1] >= size)

    @property
    def sizes(self) -> list[int]:
        """The sizes of the batches of an epoch; see ``batch_sizes``."""
        return batch_sizes(len(self.train), self.batch_size)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take steps within the block in the precision of the fit, with the faster linear layers."""
        precision, network = self.training_step.precision, self.training_step.network
        with computing_in(precision), fast_linear(network, self.device, use_onednn=self.use_onednn):
            yield

    def epoch(
        self, progress: BudgetProgress | None = None, on_step: Callable[[], None] = lambda: None
    ) -> list[dict[str, float]]:
        """Show every training example once, in training mode; return each objective's mean loss, one entry a model.

        With ``progress``, learning rates follow the spent share of the budget, and the epoch ends when it is spent.
        ``on_step`` is called after each step.
        """
        self.training_step.network.train()
        total, seen = torch.zeros((), device=self.device), 0
        with self.computing():
            for index in self.shuffled():
                size = index.shape[-1]
                total = total + self.step(index, progress.share if progress else 0.0) * size
                seen += size
                on_step()
                if progress is not None:
                    progress.steps += 1
                    if progress.is_over:
                        break
        names = [each.name for each in self.training_step.objectives]
        means = (total / seen).view(-1, len(names)).tolist()
        return [dict(zip(names, its_means, strict=True)) for its_means in means]


def batch_sizes(n: int, size: int) -> list[int]:
    """Return the sizes of the batches that show each of ``n`` examples once.

    The last batch may be smaller. A single example left over joins the batch before it, since batch normalisation has
    no variance for one example.
    """
    sizes = [min(size, n - start) for start in range(0, n, size)]
    if size > 1 and len(sizes) > 1 and sizes[-1] == 1:
        sizes[-2:] = [size + 1]
    return sizes
