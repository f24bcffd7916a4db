"""Many seeds trained as one model: the same step for all, over stacked parameters (``torch.func``).

Each seed keeps its own initialisation, batch order and noise, drawn from the same streams as alone, so that it takes
the steps it would take alone, up to rounding. On a GPU, where small steps are bound by their launches, this makes many
seeds cost little more than one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from harness.contracts.engine import Precision
from harness.contracts.objectives import objectives_of
from harness.data.dataset import Split
from harness.machine.memory import is_out_of_memory
from harness.noise import Noise, derive_seed
from harness.training.precision import autocast, computing_in
from harness.training.pure_losses import (
    Draw,
    Losses,
    ReplayedNoise,
    Unsuited,
    answering_unsuited,
    draws_of,
    in_one_line,
    leaving_no_trace,
)
from harness.training.steps.compiled import compiled, rehearse
from harness.training.trainer import SteppingLoop


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
        raise Unsuited("its data set draws from a generator of its own")


class VectorizedTrainer(SteppingLoop):
    """Takes the steps of several seeds of one model at once.

    Args:
        models: one a seed, built and initialised, on the device.
        config: their settings.
        train: the training split, on the device.
        batch_size: examples a step, of each seed.
        seeds: one a model.

    Raises:
        Unsuited: the model does something that cannot be done for all seeds at once.
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
        self._losses = Losses(template, self.objectives)
        self._compiles = self._rehearses = False
        self._parameters, self._buffers = stack_module_state(self.models)
        names = {parameter: name for name, parameter in template.named_parameters()}
        self._names = [[names[parameter] for parameter in each.parameters] for each in self.objectives]
        self._functions: dict[tuple[int, int], tuple[list[Draw], Callable[..., Tensor]]] = {}
        self._order = [Noise(derive_seed("batches", seed)) for seed in seeds]
        self._data_noise = SplitNoise([Noise(derive_seed("data", seed), self.device) for seed in seeds])
        self._noise = [Noise(derive_seed("noise", seed), self.device) for seed in seeds]
        with answering_unsuited():
            gradient = self._rehearsed()
            for which in range(len(self.objectives)):
                gradient(which)
        self._prepare_optimizers()

    def take(self, index: Tensor) -> Tensor:
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
                loss.sum().backward(inputs=self._moved(which))
                optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses, dim=1)

    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, ``(seeds, B)``, in a new order for each seed."""
        order = torch.stack([noise.permutation(len(self.train)) for noise in self._order]).to(self.device)
        yield from order.split(self.sizes, dim=1)

    def state(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        return self._state(self.synchronize(), [*self._order, *self.streams()])

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what ``state`` returned; to be called before the first step."""
        with torch.no_grad():
            for i, its_state in enumerate(state["models"]):
                for name, tensor in its_state.items():
                    stacked = self._parameters[name] if name in self._parameters else self._buffers[name]
                    stacked[i] = tensor
        self._restore(state, [*self._order, *self.streams()])

    def networks(self) -> nn.Module:
        """See ``SteppingLoop.networks``."""
        return self._losses.model

    def tensors(self) -> list[Tensor]:
        """See ``SteppingLoop.tensors``."""
        return [*self._parameters.values(), *self._buffers.values(), *self._optimizer_tensors()]

    def streams(self) -> list[Noise]:
        """See ``SteppingLoop.streams``."""
        return [*self._data_noise.streams, *self._noise]

    def _moved(self, which: int) -> list[Tensor]:
        return [self._parameters[name] for name in self._names[which]]

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Take steps within the block in the precision of the fit, by torch's own products, the only ones mapped."""
        with computing_in(self.precision):
            yield

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
        key = (which, x.shape[1])
        if key not in self._functions:
            draws = draws_of(self._losses, which, x[0])
            self._functions[key] = draws, self._mapped(which, draws, x.shape[1])
        draws, function = self._functions[key]
        numbers = [torch.stack([draw.made_by(each) for each in noise]) for draw in draws]
        with autocast(self.precision, self.device):
            try:
                return function(self._parameters, self._buffers, x, numbers)
            except Exception as error:
                if not self._compiles or self._rehearses or is_out_of_memory(error):
                    raise
                self._fall_back(Unsuited(in_one_line(error)))
                return self._mapped(which, draws, x.shape[1])(self._parameters, self._buffers, x, numbers)

    def _mapped(self, which: int, draws: list[Draw], size: int) -> Callable[..., Tensor]:
        """Return the loss of one objective as a function of the state of all seeds."""
        losses = self._losses

        def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, numbers: list[Tensor]) -> Tensor:
            state = {f"model.{name}": tensor for name, tensor in (*parameters.items(), *buffers.items())}
            result: Tensor = functional_call(losses, state, (which, x, ReplayedNoise(draws, numbers)))
            return result

        mapped: Callable[..., Tensor] = vmap(loss)
        return compiled(mapped) if self._compiles and size == self.sizes[0] else mapped

    def _compile(self) -> None:
        torch.compiler.reset()
        plain = self._rehearsed()
        self._compiles, self._functions = True, {}
        try:
            fused = self._rehearsed()
            for which in range(len(self.objectives)):
                rehearse(partial(plain, which), partial(fused, which), self.precision)
        except BaseException:
            self._forget_compiled()
            raise

    def _forget_compiled(self) -> None:
        self._compiles, self._functions = False, {}

    def _rehearsed(self) -> Callable[[int], tuple[Tensor | None, ...]]:
        """Return the gradient of each objective for a full batch, as a function that leaves no trace in the models."""
        rehearsal, size = copy.copy(self), self.sizes[0]
        rehearsal._rehearses = True
        rehearsal._buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        index = torch.arange(size, device=self.device).repeat(len(self.models))

        def gradient(which: int) -> tuple[Tensor | None, ...]:
            noise = [Noise(0, self.device) for _ in self.models]
            with leaving_no_trace(self._losses.model), rehearsal.computing():
                x = self.train.batch(index, SplitNoise(noise)).unflatten(0, (len(self.models), size))
                loss = rehearsal._losses_of_seeds(which, x, noise)
                return torch.autograd.grad(loss.sum(), self._moved(which), allow_unused=True)

        return gradient
