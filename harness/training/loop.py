"""The training loop: epochs of steps over resident data, without waiting for the device inside an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from harness.data import Split
from harness.noise import Noise, derive_seed
from harness.training.objectives import Objective


class Trainer:
    """Takes the steps of a gradient fit.

    Batch order, data noise and model noise are separate streams of the seed, so two models of one seed see the
    same images, binarised alike, in the same order.
    """

    def __init__(self, model: nn.Module, objectives: list[Objective], train: Split, batch_size: int, seed: int) -> None:
        self.model = model
        self.objectives = objectives
        self.train = train
        self.batch_size = batch_size
        device = train.stored.device
        self._optimizers = [each.optimizer.optimizer(each.parameters) for each in objectives]
        self._order = Noise(derive_seed("batches", seed))
        self._data_noise = Noise(derive_seed("data", seed), device)
        self._noise = Noise(derive_seed("noise", seed), device)

    def epoch(self) -> dict[str, float]:
        """Show the model every training image once and return each objective's mean loss."""
        total = torch.zeros(len(self.objectives), device=self.train.stored.device)
        for index in self.shuffled():
            total += self.step(index) * len(index)
        means = (total / len(self.train)).tolist()
        return {each.name: mean for each, mean in zip(self.objectives, means, strict=True)}

    def step(self, index: Tensor) -> Tensor:
        """Take one step of every objective on the examples at ``index``; return the losses, ``(objectives,)``."""
        x = self.train.batch(index, self._data_noise)
        losses = []
        for objective, optimizer in zip(self.objectives, self._optimizers, strict=True):
            loss = objective.loss(x, self._noise)
            optimizer.zero_grad(set_to_none=True)
            loss.backward(inputs=objective.parameters)
            optimizer.step()
            losses.append(loss.detach())
        return torch.stack(losses)

    def shuffled(self) -> Iterator[Tensor]:
        """Yield the index of each batch of one epoch, in a new order.

        The last batch is shorter where need be; a single example left over joins the batch before it, since
        batch statistics of one example do not exist.
        """
        n = len(self.train)
        order = self._order.permutation(n).to(self.train.stored.device)
        sizes = [min(self.batch_size, n - start) for start in range(0, n, self.batch_size)]
        if self.batch_size > 1 and len(sizes) > 1 and sizes[-1] == 1:
            sizes[-2:] = [self.batch_size + 1]
        yield from order.split(sizes)


@torch.no_grad()
def mean_losses(objectives: list[Objective], split: Split, batch_size: int, seed: int) -> dict[str, float]:
    """Return each objective's mean loss over a split, with the same noise at every call."""
    device = split.stored.device
    noise = Noise(derive_seed("noise", "validation", seed), device)
    total = torch.zeros(len(objectives), device=device)
    for x in split.batches(batch_size, noise):
        total += torch.stack([each.loss(x, noise) for each in objectives]) * len(x)
    means = (total / len(split)).tolist()
    return {each.name: mean for each, mean in zip(objectives, means, strict=True)}
