"""Several seeds of a model trained as one: the same step for all, over stacked parameters (``torch.func``).

Each seed has its own initialisation, batch order and noise, from the same streams as when it is trained alone, so it
takes the same steps up to rounding. On a GPU, where launching kernels limits small steps, many seeds cost little more
than one.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from harness.contracts.engine import Precision
from harness.contracts.objectives import objectives_of
from harness.data.dataset import Split
from harness.noise import Noise, derive_seed
from harness.training.loop import TrainingLoop, batch_sizes
from harness.training.pure_losses import Losses, PureLoss, ReplayedNoise, draws_of, raising_unsupported
from harness.training.seed_noise import JoinedNoise, StackedNoise
from harness.training.steps import TrainingStep
from harness.training.steps.step import undone

Tensors = dict[str, Tensor]


class StackedLosses:
    """The losses of several models with the same structure.

    Args:
        losses: of a model with this structure.
        parameters: of all models, each ``(models, *shape)``.
        buffers: likewise.
    """

    def __init__(self, losses: Losses, parameters: Tensors, buffers: Tensors) -> None:
        self._losses = losses
        self._state = (parameters, buffers)
        self._pure: dict[tuple[int, int], PureLoss] = {}

    def __call__(self, which: int, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of an objective for every model, ``(models,)``, on a batch ``(models, B, *shape)``."""
        key = which, x.shape[1]
        if key not in self._pure:
            self._pure[key] = self.pure(which, x)
        return self._pure[key](x, noise)

    def pure(self, which: int, x: Tensor) -> PureLoss:
        """Return the same as a pure function, for batches like ``x``."""
        with raising_unsupported():
            losses, draws = self._losses, draws_of(self._losses, which, x[0])

        def loss(parameters: Tensors, buffers: Tensors, x: Tensor, numbers: list[Tensor]) -> Tensor:
            state = {f"model.{name}": tensor for name, tensor in (*parameters.items(), *buffers.items())}
            result: Tensor = functional_call(losses, state, (which, x, ReplayedNoise(draws, numbers)))
            return result

        return PureLoss(draws, vmap(loss), self._state)


class VectorizedTrainer(TrainingLoop):
    """Takes the steps of several seeds of one model at once.

    Args:
        models: one for each seed, initialised, on the device.
        config: their settings.
        train: the training split, on the device.
        batch_size: examples a step, of each seed.
        seeds: one for each model.
        precision: of losses and gradients.

    Raises:
        Unsupported: the model does something that ``torch.func.vmap`` cannot do.
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
        device, models = train.stored.device, list(models)
        template = copy.deepcopy(models[0]).train()
        objectives = objectives_of(template, config)
        parameters, buffers = stack_module_state(models)
        names = {parameter: name for name, parameter in template.named_parameters()}
        losses = StackedLosses(Losses(template, objectives), parameters, buffers)
        order = StackedNoise([Noise(derive_seed("batches", seed)) for seed in seeds])
        data_noise = JoinedNoise([Noise(derive_seed("data", seed), device) for seed in seeds])
        noise = StackedNoise([Noise(derive_seed("noise", seed), device) for seed in seeds])
        step = TrainingStep(
            objectives=objectives,
            parameters=[[parameters[names[parameter]] for parameter in each.parameters] for each in objectives],
            frozen=[[] for _ in objectives],
            network=template,
            tensors=lambda: [*parameters.values(), *buffers.values()],
            batch=lambda index, noise: train.batch(index.flatten(), noise).unflatten(0, index.shape),
            loss=losses,
            pure_loss=losses.pure,
            data_noise=data_noise,
            noise=noise,
            example=torch.arange(batch_sizes(len(train), batch_size)[0], device=device).expand(len(models), -1),
            precision=precision,
        )

        @torch.no_grad()
        def synchronized() -> list[nn.Module]:
            for i, model in enumerate(models):
                for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                    tensor.copy_((parameters[name] if name in parameters else buffers[name])[i])
            return models

        super().__init__(step, train, batch_size, order, synchronized, use_onednn=False)
        with raising_unsupported(), undone(step), self.computing():
            for which in range(len(objectives)):
                step.gradient(step.loss, which)
