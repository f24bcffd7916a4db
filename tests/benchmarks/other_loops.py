"""The default VAE trained in other ways: by hand over resident data, as tutorials do, and by pythae."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import Data, Noise

Epoch = Callable[[], object]
batch = 128


class ByHand(nn.Module):
    """The same network, and the plainest loss that is right."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784))

    def loss(self, x: Tensor) -> Tensor:
        mean, scale = self.encoder(x).chunk(2, dim=1)
        scale = F.softplus(scale)
        logits = self.decoder(mean + scale * torch.randn_like(mean))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (scale**2 + mean**2 - 1 - 2 * scale.log()).sum()
        return (reconstruction + kl) / len(x)


def resident(data: Data) -> Epoch:
    """Train over a resident tensor with fused Adam, and nothing else."""
    pixels = data.train.stored.flatten(1)
    model = ByHand().to(pixels.device)
    adam = torch.optim.Adam(model.parameters(), fused=True)

    def epoch() -> float:
        total = torch.zeros((), device=pixels.device)
        for index in torch.randperm(len(pixels), device=pixels.device).split(batch):
            grey = pixels[index].float() / 255
            loss = model.loss((torch.rand_like(grey) < grey).float())
            adam.zero_grad(set_to_none=True)
            loss.backward()
            adam.step()
            total += loss.detach()
        return float(total)

    return epoch


def from_a_loader(data_dir: Path) -> Epoch:
    """Train as tutorials do: torchvision's data set, ToTensor, a DataLoader and Adam."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    images = Subset(datasets.MNIST(data_dir, transform=transforms.ToTensor()), range(55_000))
    model = ByHand()
    adam = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        for grey, _ in DataLoader(images, batch_size=batch, shuffle=True):
            loss = model.loss(torch.bernoulli(grey.flatten(1)))
            adam.zero_grad()
            loss.backward()
            adam.step()
            loss.item()

    return epoch


def pythae(data: Data, folder: Path) -> Epoch:
    """Train with pythae's BaseTrainer, on the device of the data."""
    pytest.importorskip("pythae")
    from pythae import models
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(784, 500), nn.ReLU())
            self.mean, self.log_variance = nn.Linear(500, 20), nn.Linear(500, 20)

        def forward(self, x: Tensor) -> ModelOutput:
            hidden = self.layers(x.flatten(1))
            return ModelOutput(embedding=self.mean(hidden), log_covariance=self.log_variance(hidden))

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784), nn.Sigmoid())

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.layers(z).unflatten(1, (1, 28, 28)))

    logging.disable(logging.INFO)
    device = data.train.stored.device
    settings = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    trainer = BaseTrainer(
        models.VAE(settings, Encoder(), Decoder()),
        BaseDataset(data.train.all(Noise(0, device)).cpu(), torch.ones(len(data.train))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder),
            num_epochs=1,
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            no_cuda=device.type == "cpu",
        ),
    )
    trainer.prepare_training()
    for callback in [*trainer.callback_handler.callbacks]:
        trainer.callback_handler.callbacks.remove(callback)  # progress bars
    return lambda: trainer.train_step(1)
