"""The necessary work of the hot paths, written by hand in plain torch: what the harness's own code is compared with.

Linear layers and products are multiplied by the library that the harness takes on this processor, so that the ratios
are about everything else. ``products_at_the_peak`` is the reference for that choice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.machine.fast_linear import fast_linear, linear, onednn_product
from harness.machine.peak_flops import matrix_product_peak

Call = Callable[[], object]
cpu = torch.device("cpu")
batch = 128
latent = 20


def perceptron(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return linear layers with an activation between them."""
    layers = nn.Sequential()
    for a, b in pairwise(widths):
        layers.extend([nn.Linear(a, b), activation()])
    return layers[:-1]


class VAE(nn.Module):
    """The default VAE for binary images, or with other networks, and the plainest loss that is right."""

    def __init__(self, encoder: nn.Module | None = None, decoder: nn.Module | None = None) -> None:
        super().__init__()
        self.encoder = encoder or perceptron(784, 500, 2 * latent)
        self.decoder = decoder or perceptron(latent, 500, 784)

    def negative_elbo(self, x: Tensor) -> Tensor:
        """Return the negative bound of each example, ``(N,)``."""
        mean, scale = self.encoder(x).chunk(2, dim=1)
        scale = F.softplus(scale)
        logits = self.decoder(mean + scale * torch.randn_like(mean))
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
        return reconstruction + 0.5 * (scale**2 + mean**2 - 1 - 2 * scale.log()).sum(1)

    def losses(self) -> list[tuple[Callable[[Tensor], Tensor], torch.optim.Optimizer]]:
        """Return each loss of a batch, with the optimiser that minimises it."""
        return [(lambda x: self.negative_elbo(x).mean(), torch.optim.Adam(self.parameters(), fused=True))]


class CNNVAE(VAE):
    """The default convolutional VAE."""

    def __init__(self) -> None:
        convolutions = [nn.Conv2d(1, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Flatten()]
        back = [nn.ReLU(), nn.ConvTranspose2d(64, 32, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(32, 1, 4, 2, 1)]
        super().__init__(
            nn.Sequential(*convolutions, nn.Linear(64 * 49, 2 * latent)),
            nn.Sequential(nn.Linear(latent, 64 * 49), nn.Unflatten(1, (64, 7, 7)), *back),
        )


class GAN(nn.Module):
    """The default GAN: the generator, then the discriminator, each with its own Adam."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(latent, 128), nn.LeakyReLU(0.2))
        for a, b in pairwise([128, 256, 512, 1024]):
            self.generator.extend([nn.Linear(a, b), nn.LeakyReLU(0.2), nn.BatchNorm1d(b)])
        self.generator.extend([nn.Linear(1024, 784), nn.Tanh()])
        self.discriminator = nn.Sequential(
            *(nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 256), nn.LeakyReLU(0.2), nn.Linear(256, 1))
        )

    def losses(self) -> list[tuple[Callable[[Tensor], Tensor], torch.optim.Optimizer]]:
        """Return each loss of a batch, with the optimiser that minimises it."""

        def of_generator(x: Tensor) -> Tensor:
            self.discriminator.requires_grad_(False)
            loss = F.softplus(-self.discriminator(self.generator(torch.randn(len(x), latent)))).mean()
            self.discriminator.requires_grad_(True)
            return loss

        def of_discriminator(x: Tensor) -> Tensor:
            with torch.no_grad():
                generated = self.generator(torch.randn(len(x), latent))
            real = F.softplus(-self.discriminator(2 * x - 1))
            return (real + F.softplus(self.discriminator(generated))).mean()

        parts = (of_generator, self.generator), (of_discriminator, self.discriminator)
        return [
            (loss, torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), fused=True)) for loss, network in parts
        ]


def training_step(model: VAE | GAN, stored: Tensor, *, use_onednn: bool | None = None) -> Call:
    """Return a step on a random batch of bytes ``(N, *shape)``, whose pixels are drawn for each batch."""
    losses = model.losses()
    orders = (index for _ in itertools.count() for index in torch.randperm(len(stored)).split(batch))
    batches = (index for index in orders if len(index) == batch)

    def step() -> None:
        grey = stored.index_select(0, next(batches)).float() / 255
        x = (torch.rand_like(grey) < grey).float()
        with fast_linear(model, cpu, use_onednn=use_onednn):
            for loss_of, adam in losses:
                loss = loss_of(x)
                adam.zero_grad(set_to_none=True)
                loss.backward()
                adam.step()

    return step


def applied(network: nn.Module, batches: Sequence[Tensor]) -> Call:
    """Return a call that computes the outputs of a network, without gradients."""

    @torch.no_grad()
    def call() -> None:
        with fast_linear(network, cpu):
            for x in batches:
                network(x)

    return call


def gradients(network: nn.Module, passes: Sequence[tuple[int, int]]) -> Call:
    """Return a call that computes gradients of a network's outputs with respect to codes, its inputs.

    Args:
        network: from codes ``(N, latent)``.
        passes: how often, and for how many codes at once.
    """
    network.requires_grad_(False)
    codes = [(times, torch.randn(rows, latent, requires_grad=True)) for times, rows in passes]

    def call() -> None:
        with torch.enable_grad(), fast_linear(network, cpu):
            for times, z in codes:
                for _ in range(times):
                    torch.autograd.grad(network(z).sum(), z)

    return call


def products_at_the_peak(flops: float) -> tuple[Call, float]:
    """Return a call that multiplies matrices at the highest rate of this machine, and ``flops`` over those it does."""
    peak = matrix_product_peak(cpu)
    m, k, n = peak.shape
    a, b = torch.rand(m, k), torch.rand(n, k)
    times = max(1, round(flops / (2 * m * k * n)))

    def call() -> None:
        for _ in range(times):
            onednn_product(a, b) if peak.kernel == "oneDNN" else a @ b.T

    return call, flops / (times * 2 * m * k * n)


def classifier() -> nn.Module:
    """Return a network like the classifier whose features are compared, up to its features."""
    layers: list[nn.Module] = []
    for a, b in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(b), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(32 * 49, 64), nn.BatchNorm1d(64), nn.ReLU()]
    return nn.Sequential(*layers).eval()


def frechet_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared Fréchet distance of features ``(n, d)``, with as many eigendecompositions as it needs."""
    a, b = x.T.cov(), y.T.cov()
    values, vectors = torch.linalg.eigh(b)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ a @ root).clamp(min=0).sqrt().sum()
    return (x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * cross


def kernel_distance(x: Tensor, y: Tensor) -> Tensor:
    """Return the unbiased squared discrepancy of features ``(n, d)`` under the cubic kernel."""
    n, d = x.shape
    within_x, within_y, across = ((a @ b.T / d + 1) ** 3 for a, b in ((x, x), (y, y), (x, y)))
    within = within_x.sum() - within_x.trace() + within_y.sum() - within_y.trace()
    return within / (n * (n - 1)) - 2 * across.mean()


def precision(x: Tensor, y: Tensor, k: int) -> Tensor:
    """Return the share of samples ``x`` in a ball of ``y``, both ``(n, d)``."""
    return (_all_distances(x, y) <= _radii(y, k)).any(1).double().mean()


def coverage(x: Tensor, y: Tensor, k: int) -> Tensor:
    """Return the share of balls of ``y`` with a sample ``x``, both ``(n, d)``."""
    return (_all_distances(y, x).amin(1) <= _radii(y, k)).double().mean()


def _all_distances(a: Tensor, b: Tensor) -> Tensor:
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(y: Tensor, k: int) -> Tensor:
    return _all_distances(y, y).fill_diagonal_(math.inf).kthvalue(k).values


def pca_and_its_error(train: Tensor, test: Tensor, k: int) -> Tensor:
    """Return the mean squared error of test images ``(N, d)`` projected on k principal components of others."""
    mean = train.mean(0, dtype=torch.float64)
    centred = train.double() - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred / len(train))
    components = vectors[:, -k:].float()
    codes = (test - mean.float()) @ components
    return (codes @ components.T + mean.float() - test).square().mean()


def pairs(network: nn.Module, codes: Sequence[Tensor], images: Sequence[Tensor]) -> Call:
    """Return a call that decodes codes and multiplies the outputs with images, as log p(x | z) of all pairs needs."""

    @torch.no_grad()
    def call() -> None:
        with fast_linear(network, cpu):
            for z in codes:
                logits = network(z)
                for x in images:
                    linear(x, logits)

    return call
