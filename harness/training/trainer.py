"""The trainer of one model, and its losses on a split that it is not trained on."""

from __future__ import annotations

import torch
from torch import nn

from harness.contracts.engine import Precision
from harness.contracts.objectives import Objective
from harness.data.dataset import Split
from harness.machine.fast_linear import fast_linear
from harness.noise import Noise, derive_seed
from harness.training.loop import TrainingLoop, batch_sizes
from harness.training.pure_losses import Losses, PureLoss, ReplayedNoise, draws_of
from harness.training.steps import TrainingStep


class Trainer(TrainingLoop):
    """Trains a model by gradient, step by step.

    Batch order, data noise and model noise are separate streams of the seed, so two models of one seed see the
    same images, binarised alike, in the same order.

    Args:
        model: on the device of the data.
        objectives: of the model, minimised in order in each step.
        train: the training split.
        batch_size: examples a step.
        seed: of the streams.
        precision: of losses and gradients.
        use_onednn: whether linear layers use oneDNN on the CPU; by default, if it is faster there.
    """

    def __init__(
        self,
        model: nn.Module,
        objectives: list[Objective],
        train: Split,
        batch_size: int,
        seed: int,
        precision: Precision = "float32",
        *,
        use_onednn: bool | None = None,
    ) -> None:
        self.model = model
        device = train.stored.device
        losses = Losses(model, objectives)
        order = Noise(derive_seed("batches", seed))
        step = TrainingStep(
            objectives=objectives,
            parameters=[list(each.parameters) for each in objectives],
            frozen=[_others(model, each) for each in objectives],
            network=model,
            tensors=lambda: [*model.parameters(), *model.buffers()],
            batch=train.batch,
            loss=losses,
            pure_loss=lambda which, x: _pure_loss(losses, which, x),
            data_noise=Noise(derive_seed("data", seed), device),
            noise=Noise(derive_seed("noise", seed), device),
            example=torch.arange(batch_sizes(len(train), batch_size)[0], device=device),
            precision=precision,
        )
        super().__init__(step, train, batch_size, order, lambda: [model], use_onednn)


def _pure_loss(losses: Losses, which: int, x: torch.Tensor) -> PureLoss:
    draws, loss = draws_of(losses, which, x), losses.objectives[which].of_batch
    return PureLoss(draws, lambda x, numbers: loss(x, ReplayedNoise(draws, numbers)))


def _others(model: nn.Module, objective: Objective) -> list[nn.Parameter]:
    """Return the parameters that an objective does not update."""
    updated = set(objective.parameters)
    return [each for each in model.parameters() if each.requires_grad and each not in updated]


@torch.no_grad()
def mean_losses(
    model: nn.Module, objectives: list[Objective], split: Split, batch_size: int, seed: int
) -> dict[str, float]:
    """Return the mean loss of each of a model's objectives over a split, with the same noise at every call."""
    device = split.stored.device
    noise = Noise(derive_seed("noise", "validation", seed), device)
    total = torch.zeros(len(objectives), device=device)
    with fast_linear(model, device):
        for x in split.batches(batch_size, noise):
            total += torch.stack([each.of_batch(x, noise) for each in objectives]) * len(x)
    means = (total / len(split)).tolist()
    return {each.name: mean for each, mean in zip(objectives, means, strict=True)}
