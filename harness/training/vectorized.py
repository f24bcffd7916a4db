"""Many seeds trained as one model: the same step for all, over stacked parameters (``torch.func``).

Each seed keeps its own initialisation, batch order and noise, drawn from the same streams as alone, so that it takes
the steps it would take alone, up to rounding. On a GPU, where small steps are bound by their launches, this makes many
seeds cost little more than one.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from harness.data import Split
from harness.engine import Precision
from harness.noise import Noise, derive_seed
from harness.training.loop import SteppingLoop
from harness.training.objectives import Objective, objectives_of
from harness.training.precision import autocast


class NotVectorizable(Exception):  # noqa: N818 -- an answer, not a failure
    """The seeds of this model cannot be trained as one; the message says why."""


@dataclass(frozen=True)
class Draw:
    """A request for random numbers: which method of ``Noise``, with which arguments."""

    method: str
    arguments: tuple[int, ...]

    def made_by(self, noise: Noise) -> Tensor:
        """Make it."""
        drawn: Tensor = getattr(noise, self.method)(*self.arguments)
        return drawn


class RecordedNoise(Noise):
    """Noise that notes what is drawn from it."""

    def __init__(self, device: torch.device) -> None:
        super().__init__(0, device)
        self.draws: list[Draw] = []

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        self.draws.append(Draw("normal", shape))
        return super().normal(*shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        self.draws.append(Draw("uniform", shape))
        return super().uniform(*shape)

    def permutation(self, n: int) -> Tensor:
        """Draw an order of ``n`` things."""
        self.draws.append(Draw("permutation", (n,)))
        return super().permutation(n)


class ReplayedNoise(Noise):
    """Noise that hands out numbers drawn before, in the order in which they were asked for then."""

    def __init__(self, draws: Sequence[Draw], numbers: Sequence[Tensor]) -> None:
        self._numbers = iter(zip(draws, numbers, strict=True))

    def normal(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be normal."""
        return self._next(Draw("normal", shape))

    def uniform(self, *shape: int) -> Tensor:
        """Return the next numbers, which must be uniform."""
        return self._next(Draw("uniform", shape))

    def permutation(self, n: int) -> Tensor:
        """Return the next order."""
        return self._next(Draw("permutation", (n,)))

    def _next(self, wanted: Draw) -> Tensor:
        recorded, numbers = next(self._numbers, (None, None))
        if recorded != wanted or numbers is None:
            raise NotVectorizable("what it draws changes from step to step")
        return numbers

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """There is none: numbers come from draws that were noted."""
        raise NotVectorizable("it draws from a generator of its own")


class SplitNoise(Noise):
    """Noise for the joined batches of several seeds: each seed's part comes from its own stream."""

    def __init__(self, streams: Sequence[Noise]) -> None:
        self.streams = tuple(streams)
        self.device = streams[0].device

    def normal(self, *shape: int) -> Tensor:
        """Draw from N(0, 1)."""
        return self._parts("normal", shape)

    def uniform(self, *shape: int) -> Tensor:
        """Draw from U[0, 1)."""
        return self._parts("uniform", shape)

    def _parts(self, method: str, shape: tuple[int, ...]) -> Tensor:
        part = Draw(method, (shape[0] // len(self.streams), *shape[1:]))
        return torch.cat([part.made_by(stream) for stream in self.streams])

    @property
    def generator(self) -> Any:  # type: ignore[override]
        """There is none: each seed has its own."""
        raise NotVectorizable("its data set draws from a generator of its own")


class _Losses(nn.Module):
    """The objectives of a model as one module, whose parameters ``functional_call`` can replace."""

    def __init__(self, model: nn.Module, objectives: list[Objective]) -> None:
        super().__init__()
        self.model = model
        self.objectives = objectives

    def forward(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        return self.objectives[which].loss(x, noise)


class VectorizedTrainer(SteppingLoop):
    """Takes the steps of several seeds of one model at once.

    Args:
        models: one a seed, built and initialised, on the device.
        config: their settings.
        train: the training split, on the device.
        batch_size: examples a step, of each seed.
        seeds: one a model.

    Raises:
        NotVectorizable: the model does something that cannot be done for all seeds at once.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        config: Any,
        train: Split,
        batch_size: int,
        seeds: Sequence[int],
        precision: Precision = "float32",
    ) -> None:
        template = copy.deepcopy(models[0]).train()
        super().__init__(objectives_of(template, config), train, batch_size, precision)
        self.models = list(models)
        self._losses = _Losses(template, self.objectives)
        self._parameters, self._buffers = stack_module_state(self.models)
        names = {parameter: name for name, parameter in template.named_parameters()}
        self._moved = [[self._parameters[names[p]] for p in each.parameters] for each in self.objectives]
        self._draws: dict[tuple[int, int], list[Draw]] = {}
        self._order = [Noise(derive_seed("batches", seed)) for seed in seeds]
        self._data_noise = SplitNoise([Noise(derive_seed("data", seed), self.device) for seed in seeds])
        self._noise = [Noise(derive_seed("noise", seed), self.device) for seed in seeds]
        self._rehearse()
        self._optimizers = [
            each.optimizer.optimizer(moved) for each, moved in zip(self.objectives, self._moved, strict=True)
        ]

    def step(self, index: Tensor, progress: float = 0.0) -> Tensor:
        """Take one step of every objective of every seed, on the examples at ``index`` ``(seeds, B)``.

        Returns:
            The losses, ``(seeds, objectives)``.
        """
        seeds, size = index.shape
        x = self.train.batch(index.flatten(), self._data_noise).unflatten(0, (seeds, size))
        losses = []
        for which, (objective, optimizer) in enumerate(zip(self.objectives, self._optimizers, strict=True)):
            for _ in range(objective.repeats):
                loss = self._losses_of_seeds(which, x, self._noise)
                optimizer.zero_grad(set_to_none=True)
                loss.sum().backward(inputs=self._moved[which])
                objective.optimizer.follow_schedule(optimizer, progress)
                optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses, dim=1)

    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, ``(seeds, B)``, in a new order for each seed."""
        order = torch.stack([noise.permutation(len(self.train)) for noise in self._order]).to(self.device)
        yield from order.split(self.sizes, dim=1)

    def state(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        return {
            "models": [model.state_dict() for model in self.synchronize()],
            "optimizers": [each.state_dict() for each in self._optimizers],
            "noise": [each.state for each in self._streams],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned."""
        with torch.no_grad():
            for i, its_state in enumerate(state["models"]):
                for name, tensor in its_state.items():
                    stacked = self._parameters[name] if name in self._parameters else self._buffers[name]
                    stacked[i] = tensor
        for optimizer, its_state in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        for noise, its_state in zip(self._streams, state["noise"], strict=True):
            noise.go_on_from(its_state)

    @property
    def _streams(self) -> list[Noise]:
        return [*self._order, *self._data_noise.streams, *self._noise]

    def synchronize(self) -> list[nn.Module]:
        """Copy the state of every seed into its own model, and return the models."""
        with torch.no_grad():
            for i, model in enumerate(self.models):
                for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                    stacked = self._parameters[name] if name in self._parameters else self._buffers[name]
                    tensor.copy_(stacked[i])
        return self.models

    def _losses_of_seeds(self, which: int, x: Tensor, noise: Sequence[Noise]) -> Tensor:
        """Return the loss of one objective for every seed, ``(seeds,)``, each drawing from its own noise."""
        draws = self._draws_of(which, x[0])
        numbers = [torch.stack([draw.made_by(each) for each in noise]) for draw in draws]

        def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, numbers: list[Tensor]) -> Tensor:
            state = {f"model.{name}": tensor for name, tensor in (*parameters.items(), *buffers.items())}
            result: Tensor = functional_call(self._losses, state, (which, x, ReplayedNoise(draws, numbers)))
            return result

        with autocast(self.precision, self.device):
            losses: Tensor = vmap(loss)(self._parameters, self._buffers, x, numbers)
        return losses

    def _draws_of(self, which: int, x: Tensor) -> list[Draw]:
        """Find out, on a copy of the model, what an objective draws for a batch of this size.

        Raises:
            NotVectorizable: it replaces a buffer.
        """
        if (which, len(x)) not in self._draws:
            recorded, losses = RecordedNoise(self.device), copy.deepcopy(self._losses)
            before = dict(losses.model.named_buffers())
            with torch.no_grad():
                losses(which, x, recorded)
            for name, buffer in losses.model.named_buffers():
                if buffer is not before.get(name):
                    raise NotVectorizable(f"it replaces its buffer {name!r} instead of changing it in place")
            self._draws[which, len(x)] = recorded.draws
        return self._draws[which, len(x)]

    def _rehearse(self) -> None:
        """Try a step of every objective on copies, so that what cannot be vectorised is found before training."""
        rehearsal = copy.copy(self)
        rehearsal._buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        size = self.sizes[0]
        noise = [Noise(0, self.device) for _ in self.models]
        index = torch.arange(size, device=self.device).repeat(len(self.models))
        try:
            x = self.train.batch(index, SplitNoise(noise)).unflatten(0, (len(self.models), size))
            for which in range(len(self.objectives)):
                loss = rehearsal._losses_of_seeds(which, x, noise)
                torch.autograd.grad(loss.sum(), self._moved[which])
        except (torch.OutOfMemoryError, NotVectorizable):
            raise
        except Exception as error:
            raise NotVectorizable(" ".join(str(error).split())[:200]) from error
