"""The engine's epoch of the MLP VAE on full MNIST beside a loop written by hand, in one process.

Run with ``pytest tests/benchmarks --benchmark-only -s``; the ratio is printed and kept in ``extra_info``.
"""

import statistics
import time
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness import Data, DataSource
from harness.device import prepare_torch
from harness.training import Trainer, objectives_of
from harness.transforms import Binarize
from harness_datasets.idx import MNIST
from harness_vae.vae import VAE


@pytest.fixture
def mnist(data_dir: Path, tmp_path: Path) -> Data:
    prepare_torch("cpu")
    return Binarize(Binarize.Config()).apply(MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path, print)))


class ByHand:
    """The same network and batches over a resident tensor with fused Adam, and nothing else."""

    def __init__(self, data: Data) -> None:
        self.pixels = data.train.stored.flatten(1)
        self.encoder = nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 40))
        self.decoder = nn.Sequential(nn.Linear(20, 500), nn.ReLU(), nn.Linear(500, 784))
        parameters = [*self.encoder.parameters(), *self.decoder.parameters()]
        self.adam = torch.optim.Adam(parameters, fused=True)

    def epoch(self) -> float:
        total = torch.zeros(())
        for index in torch.randperm(len(self.pixels)).split(128):
            grey = self.pixels[index].float() / 255
            x = (torch.rand_like(grey) < grey).float()
            mean, scale = self.encoder(x).chunk(2, dim=1)
            scale = F.softplus(scale)
            logits = self.decoder(mean + scale * torch.randn_like(mean))
            reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
            kl = 0.5 * (scale**2 + mean**2 - 1 - 2 * scale.log()).sum()
            loss = (reconstruction + kl) / len(x)
            self.adam.zero_grad(set_to_none=True)
            loss.backward()
            self.adam.step()
            total += loss.detach() * len(x)
        return float(total / len(self.pixels))


@pytest.mark.full_mnist
def test_epoch_of_the_vae_beside_a_loop_by_hand(benchmark, mnist: Data) -> None:
    config = VAE.Config()
    model = VAE(mnist.info, config)
    trainer = Trainer(model, objectives_of(model, config), mnist.train, 128, seed=0)
    by_hand = ByHand(mnist)
    ratios, losses = [], []

    def timed(epoch) -> float:
        start = time.perf_counter()
        losses.append(epoch())
        return time.perf_counter() - start

    def pair() -> None:
        ours = timed(trainer.epoch)
        ratios.append(ours / timed(by_hand.epoch))

    benchmark.pedantic(pair, rounds=5, warmup_rounds=1)
    benchmark.extra_info["engine / by hand"] = statistics.median(ratios[1:])
    print(f"\nengine / by hand: median {statistics.median(ratios[1:]):.3f} of {sorted(ratios[1:])}")
    assert losses[-2]["loss"] == pytest.approx(losses[-1], rel=0.02)
