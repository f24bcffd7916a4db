"""An epoch of the default VAE on full MNIST beside the same network trained in other ways, in one process.

Run with ``pytest tests/benchmarks --benchmark-only -s``; each ratio is the other's time over the engine's. Denormal
numbers are flushed for all and freed memory is kept, which only the engine asks for.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import Data, Noise
from harness.budget import Budget
from harness.engine import Execution
from harness.peak import matrix_product_peak
from harness.training import Recipe, trainer_of
from harness.training.profile import profile_steps
from harness.transforms import Binarize
from harness_vae.vae import VAE

pytestmark = pytest.mark.full_mnist
Epoch = Callable[[], object]
batch = 128


@pytest.fixture(params=["float32", "compiled", "bf16", "bf16-products"])
def engine(request: pytest.FixtureRequest, threads: int) -> Callable[[Data], Epoch]:
    """Return what makes an epoch of the engine on a data set."""

    def engine(data: Data) -> Epoch:
        compiled = request.param == "compiled"
        precision = "float32" if compiled else request.param
        trainer = trainer_of(Recipe(VAE, VAE.Config(), data, Budget(epochs=1, batch_size=batch), precision), seed=0)
        trainer.execute("compiled" if compiled else "eager")
        return trainer.epoch

    return engine


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
    model, pixels = ByHand(), data.train.stored.flatten(1)
    adam = torch.optim.Adam(model.parameters(), fused=True)

    def epoch() -> float:
        total = torch.zeros(())
        for index in torch.randperm(len(pixels)).split(batch):
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
    """Train with pythae's BaseTrainer."""
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
    settings = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=20, reconstruction_loss="bce")
    trainer = BaseTrainer(
        models.VAE(settings, Encoder(), Decoder()),
        BaseDataset(data.train.all(Noise(0)), torch.ones(len(data.train))),
        training_config=BaseTrainerConfig(
            output_dir=str(folder), num_epochs=1, per_device_train_batch_size=batch, learning_rate=1e-3, no_cuda=True
        ),
    )
    trainer.prepare_training()
    for callback in [*trainer.callback_handler.callbacks]:
        trainer.callback_handler.callbacks.remove(callback)  # progress bars
    return lambda: trainer.train_step(1)


def test_beside_a_loop_by_hand(in_turns, engine: Callable[[Data], Epoch], mnist: Data) -> None:
    assert in_turns("resident loop by hand / engine", engine(mnist), resident(mnist)) > 0


def test_beside_a_loader(in_turns, engine: Callable[[Data], Epoch], mnist: Data, data_dir: Path) -> None:
    assert in_turns("loader and plain loop / engine", engine(mnist), from_a_loader(data_dir)) > 0


@pytest.mark.filterwarnings("ignore")
def test_beside_pythae(in_turns, engine: Callable[[Data], Epoch], grey_mnist: Data, tmp_path: Path) -> None:
    """Both on the same pixels, drawn once: pythae's trainer draws none."""
    drawn = Binarize(Binarize.Config(binarization="static")).apply(grey_mnist)
    assert in_turns("pythae / engine", engine(drawn), pythae(drawn, tmp_path)) > 0


@pytest.mark.parametrize("execution", ["eager", "compiled"])
def test_the_share_of_the_peak_in_a_long_fit(benchmark, threads: int, execution: Execution, mnist: Data) -> None:
    recipe = Recipe(VAE, VAE.Config(), mnist, Budget(epochs=1, batch_size=batch))
    trainer = trainer_of(recipe, seed=0)
    flops = profile_steps(trainer, 20, execution).flops
    trainer.epoch()
    peak = matrix_product_peak(torch.device("cpu")).rate
    benchmark.pedantic(trainer.epoch, rounds=3)
    share = flops * len(trainer.sizes) / benchmark.stats.stats.min / peak
    benchmark.extra_info["share of the peak"] = share
    print(f"\nshare of the float32 product peak of {peak / 1e9:.0f} GFLOP/s in an epoch: {share:.2f}")
    assert 0 < share < 1
