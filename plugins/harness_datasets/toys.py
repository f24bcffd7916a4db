"""Vectors drawn from known densities, so a model's likelihood can be compared with the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from harness import Data, DataSource, Examples, Noise, derive_seed, setting


@dataclass(frozen=True)
class Sizes:
    """The seed, and the number of vectors in each split."""

    seed: int = setting(0, "seed of the density's parameters and of the draws", minimum=0)
    train: int = setting(10_000, "number of training vectors", minimum=1)
    validation: int = setting(1_000, "number of validation vectors", minimum=1)
    test: int = setting(2_000, "number of test vectors", minimum=1)


class PPCAToy:
    """x = W z + ε with z ~ N(0, I) and ε ~ N(0, noise² I): probabilistic PCA (Tipping and Bishop, 1999).

    The entries of W, ``(dim, latent_dim)``, are drawn from N(0, 1), and x ~ N(0, W Wᵀ + noise² I).
    """

    @dataclass(frozen=True)
    class Config(Sizes):
        """Settings."""

        dim: int = setting(10, "size of a vector", minimum=1)
        latent_dim: int = setting(2, "size of the code", minimum=1)
        noise: float = setting(0.5, "standard deviation of the noise ε", above=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def load(self, source: DataSource) -> Data:
        """Draw the vectors; ``source`` is not used."""
        config = self.config
        weights = Noise(derive_seed("ppca-toy", "weights", config.seed)).normal(config.dim, config.latent_dim)
        exact = weights.double()
        covariance = exact @ exact.T + config.noise**2 * torch.eye(config.dim, dtype=torch.float64)

        def draw(n: int, noise: Noise) -> Examples:
            z, rest = noise.normal(n, config.latent_dim), noise.normal(n, config.dim)
            return Examples(z @ weights.T + config.noise * rest)

        def density() -> Distribution:
            return MultivariateNormal(torch.zeros_like(exact[:, 0]), covariance)

        return _data("ppca-toy", config, draw, density)


class MixtureToy:
    """An equally weighted mixture of Gaussians N(μₖ, deviation² I), with means drawn from N(0, I).

    The label of a vector is the component it was drawn from.
    """

    @dataclass(frozen=True)
    class Config(Sizes):
        """Settings."""

        dim: int = setting(2, "size of a vector", minimum=1)
        components: int = setting(8, "number of Gaussians in the mixture", minimum=1)
        deviation: float = setting(0.2, "standard deviation of each Gaussian", above=0)

    def __init__(self, config: Config) -> None:
        self.config = config

    def load(self, source: DataSource) -> Data:
        """Draw the vectors; ``source`` is not used."""
        config = self.config
        means = Noise(derive_seed("mixture-toy", "means", config.seed)).normal(config.components, config.dim)

        def draw(n: int, noise: Noise) -> Examples:
            label = (noise.uniform(n) * config.components).long()
            return Examples(means[label] + config.deviation * noise.normal(n, config.dim), label)

        def density() -> Distribution:
            shares = Categorical(torch.ones(config.components, dtype=torch.float64))
            return MixtureSameFamily(shares, Independent(Normal(means.double(), config.deviation), 1))

        return _data("mixture-toy", config, draw, density, classes=config.components)


def _data(
    name: str,
    sizes: Sizes,
    draw: Callable[[int, Noise], Examples],
    density: Callable[[], Distribution],
    classes: int | None = None,
) -> Data:
    """Draw each split from its own stream, so the size of one does not change the others.

    ``density`` is called once, when it is needed: the first distribution makes torch import much.
    """
    train, validation, test = (
        draw(n, Noise(derive_seed(name, split, sizes.seed)))
        for split, n in (("train", sizes.train), ("validation", sizes.validation), ("test", sizes.test))
    )

    known = cache(density)

    def log_prob(x: Tensor) -> Tensor:
        return known().log_prob(x.double().cpu())

    return Data.from_tensors(train, validation, test, classes=classes, log_prob=log_prob)
