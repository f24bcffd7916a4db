"""The default VAE trained in other ways: by hand over resident data, as tutorials do, and by pythae."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from pathlib import Path

import by_hand
import pytest
import torch
from by_hand import batch
from torch import Tensor, nn

from harness import Data, Noise

Epoch = Callable[[], object]


def resident(data: Data) -> Epoch:
    """Train over a resident tensor with fused Adam, and nothing else."""
    step = by_hand.training_step(by_hand.VAE(), data.train.stored.flatten(1), use_onednn=False)
    return lambda: [step() for _ in range(math.ceil(len(data.train) / batch))]


def from_a_loader(data_dir: Path, images: int) -> Epoch:
    """Train as tutorials do: torchvision's data set, ToTensor, a DataLoader and Adam."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets, transforms

    some = Subset(datasets.MNIST(data_dir, transform=transforms.ToTensor()), range(images))
    model = by_hand.VAE()
    adam = torch.optim.Adam(model.parameters())

    def epoch() -> None:
        for grey, _ in DataLoader(some, batch_size=batch, shuffle=True):
            loss = model.negative_elbo(torch.bernoulli(grey.flatten(1))).mean()
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
