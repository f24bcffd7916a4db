"""Gradients with and without reparameterisation, and of a saturating and a non-saturating generator.

From the root of the repository,

    PYTHONPATH=.:plugins python -m tests.simulations.gradients

prints three tables of docs/findings.md, in about a minute on one core. Models are trained on binarized-mnist-10k.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

import harness
from harness import Data, DataSource, Noise, draw
from harness.data.transforms import Binarize
from harness.toolkit import elbo_terms
from harness_datasets.mnist_10k import MNIST10k
from harness_gan.gan import GAN
from harness_vae.vae import VAE

dataset, batch, seeds = "binarized-mnist-10k", 128, (0, 1, 2)
estimates = 200
late = 70
stronger = (0, 10, 30, 70)


def reparameterised(model: VAE, x: Tensor, noise: Noise) -> Tensor:
    """Return the negative ELBO, whose gradient flows through z = μ(x) + σ(x) ε."""
    terms = elbo_terms(model, x, noise)
    return (terms.kl - terms.reconstruction).mean()


def by_score(model: VAE, x: Tensor, noise: Noise, *, less_mean: bool) -> Tensor:
    """Return a loss with the same mean gradient for the encoder, from log p(x | z) ∇ log q(z | x) (Williams, 1992).

    With ``less_mean``, log p(x | z) is less its mean over the other images, which leaves the mean gradient alone.
    """
    posterior = model.posterior(x)
    z = draw(posterior, noise).detach()
    reward = model.observation(z).log_prob(x).detach()
    if less_mean:
        reward = (reward - reward.mean()) * len(reward) / (len(reward) - 1)
    kl = torch.distributions.kl_divergence(posterior, model.prior())
    return (kl - reward * posterior.log_prob(z)).mean()


losses: dict[str, Callable[[VAE, Tensor, Noise], Tensor]] = {
    "reparameterised": reparameterised,
    "log p(x \\| z) ∇ log q(z \\| x)": partial(by_score, less_mean=False),
    "the same, less the mean over other images": partial(by_score, less_mean=True),
}


def deviation(
    model: VAE, x: Tensor, loss: Callable[[VAE, Tensor, Noise], Tensor], mean: Tensor | None
) -> tuple[float, Tensor]:
    """Return the standard deviation of the encoder's gradient over its expected length, and the mean gradient.

    The deviation is the root of the summed variances of all parameters, over draws of z for the same images.
    """
    parameters = [*model.encoder.parameters(), *model.posterior_head.parameters()]
    found = torch.stack([
        torch.cat([each.flatten() for each in torch.autograd.grad(loss(model, x, Noise(seed)), parameters)])
        for seed in range(estimates)
    ])  # fmt: skip
    length = (found.mean(0) if mean is None else mean).norm()
    return float(found.var(0).sum().sqrt() / length), found.mean(0)


def rows_of_the_vae(data: Data, runs: Path) -> Iterator[str]:
    """Yield the lines of a table: before training, and after an epoch."""
    harness.run(["vae"], ["parameters"], dataset, seeds=1, epochs=1, runs=runs, quiet=True, figures=False)
    stored = harness.open(runs)
    torch.manual_seed(0)
    models = [VAE(data.info, VAE.Config()), stored.load(stored.fits()[0].key)]
    x = data.train.all(Noise(0))[:batch]
    yield "| gradient of the encoder | before training | after an epoch |"
    yield "|---|---|---|"
    means: list[Tensor | None] = [None, None]
    for name, loss in losses.items():
        found = [deviation(model, x, loss, mean) for model, mean in zip(models, means, strict=True)]
        if loss is reparameterised:
            means = [mean for _, mean in found]
        yield f"| {name} | " + " | ".join(f"{value:.3g}" for value, _ in found) + " |"


def length(gradient: Iterable[Tensor]) -> float:
    """Return the Euclidean length of a gradient, given its part for each parameter."""
    return math.sqrt(sum(float(each.square().sum()) for each in gradient))


def norms(data: Data, loss: str, seed: int) -> tuple[dict[int, float], dict[int, float]]:
    """Train a GAN, and return the norms of its generator's gradients and the discriminator's losses, by step."""
    torch.manual_seed(seed)
    model, noise = GAN(data.info, GAN.Config(loss=loss)), Noise(seed)  # type: ignore[arg-type]
    objectives = model.objectives()
    optimizers = [each.optimizer.optimizer(list(each.parameters)) for each in objectives]
    x = data.train.all(Noise(seed))[noise.permutation(len(data.train))]
    gradients: dict[int, float] = {}
    values: dict[int, float] = {}
    for step, examples in enumerate(x[: late * batch].split(batch), 1):
        for objective, optimizer in zip(objectives, optimizers, strict=True):
            optimizer.zero_grad()
            value = objective.loss(examples, noise)
            value.backward(inputs=list(objective.parameters))
            if objective.name == "generator":
                gradients[step] = length([each.grad for each in objective.parameters])
            else:
                values[step] = float(value.detach())
            optimizer.step()
    return gradients, values


def rows_of_the_gan(data: Data) -> Iterator[str]:
    """Yield the lines of a table: norms of gradients and losses of the discriminator at the first and a later step."""
    steps = (1, late)
    yield (
        "| loss | " + " | ".join(f"{what}, step {n}" for what in ("norm", "discriminator's loss") for n in steps) + " |"
    )
    yield "|---|---|---|---|---|"
    for loss in ("non-saturating", "saturating"):
        found = [norms(data, loss, seed) for seed in seeds]
        cells = [[each[place][step] for each in found] for place in (0, 1) for step in steps]
        yield f"| {loss} | " + " | ".join(f"{fmean(c):.2f} ({min(c):.2f} to {max(c):.2f})" for c in cells) + " |"


def of_both_losses(data: Data, seed: int) -> Iterator[tuple[float, float, float]]:
    """Train the discriminator of a new generator alone, for each number of steps in ``stronger``.

    Yields the mean of D(G(z)), and the norms of the generator's gradients with the non-saturating and the saturating
    loss, for the same generator, discriminator and z.
    """
    torch.manual_seed(seed)
    models = [GAN(data.info, GAN.Config(loss=loss)) for loss in ("non-saturating", "saturating")]
    models[1].load_state_dict(models[0].state_dict())
    models[1].discriminator = models[0].discriminator
    discriminator = models[0].objectives()[1]
    optimizer = discriminator.optimizer.optimizer(list(discriminator.parameters))
    noise = Noise(seed)
    x = data.train.all(noise)[noise.permutation(len(data.train))].split(batch)
    for step in range(max(stronger) + 1):
        if step in stronger:
            with torch.no_grad():
                believed = models[0].discriminator(2 * models[0].sample(batch, Noise(seed)).flatten(1) - 1).sigmoid()
            lengths = [
                length(torch.autograd.grad(model.generator_loss(x[0], Noise(seed)), list(model.generator.parameters())))
                for model in models
            ]
            yield float(believed.mean()), lengths[0], lengths[1]
        optimizer.zero_grad()
        discriminator.loss(x[step], noise).backward(inputs=list(discriminator.parameters))
        optimizer.step()


def rows_of_strength(data: Data) -> Iterator[str]:
    """Yield the lines of a table: the generator's gradients under both losses, as the discriminator gets stronger."""
    yield "| steps of the discriminator alone | mean of D(G(z)) | norm, non-saturating | norm, saturating |"
    yield "|---|---|---|---|"
    for steps, *found in zip(stronger, *(of_both_losses(data, seed) for seed in seeds), strict=True):
        cells = [f"{fmean(each):.2g} ({min(each):.2g} to {max(each):.2g})" for each in zip(*found, strict=True)]
        yield f"| {steps} | " + " | ".join(cells) + " |"


def main() -> None:
    """Print the tables."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as runs:
        folder = Path(runs)
        grey = MNIST10k(MNIST10k.Config()).load(DataSource(folder, folder, print))
        data = Binarize(Binarize.Config()).apply(grey)
        tables = rows_of_the_vae(data, folder), rows_of_the_gan(data), rows_of_strength(data)
        print("\n\n".join("\n".join(rows) for rows in tables))


if __name__ == "__main__":
    main()
