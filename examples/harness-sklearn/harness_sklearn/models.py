"""The models: scikit-learn fits and scores, harness keeps what was learned as buffers, and measures it.

The buffers have the names of the attributes of the estimator, so a fitted estimator can be built from them.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA, FactorAnalysis
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity
from torch import Tensor, nn

import harness


class Estimator(nn.Module):
    """The base of the models: an estimator whose learned attributes are buffers in float64."""

    def __init__(self, info: harness.DataInfo, config: Any, **attributes: tuple[int, ...]) -> None:
        super().__init__()
        self.config, self.shape, self.dim = config, info.shape, info.as_vector()
        for name, shape in attributes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def unfitted(self, noise: harness.Noise | None = None) -> BaseEstimator:
        """Return the estimator with its settings."""
        raise NotImplementedError

    def fitted(self) -> Any:
        """Return the estimator with what it has learned."""
        estimator = self.unfitted()
        for name, value in self.named_buffers():
            setattr(estimator, name, value.cpu().numpy())
        return estimator

    def fit(self, train: harness.Split, noise: harness.Noise) -> None:
        """Fit the estimator to all training examples, and keep what it learned."""
        estimator = self.unfitted(noise).fit(self.rows(train.all(noise)))
        for name, value in self.named_buffers():
            value.copy_(torch.as_tensor(getattr(estimator, name)))

    def rows(self, x: Tensor) -> np.ndarray:
        """Return examples (N, *shape) as rows in float64."""
        return x.flatten(1).double().cpu().numpy()

    def examples(self, rows: Any, like: Tensor) -> Tensor:
        """Return rows as examples (N, *shape) in float32 on the device of another tensor."""
        return torch.as_tensor(rows, dtype=torch.float32, device=like.device).unflatten(1, self.shape)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the estimator's log p(x) in nats, (N,)."""
        return torch.as_tensor(self.fitted().score_samples(self.rows(x)), device=x.device)


class Linear(Estimator):
    """The base of the linear models with Gaussian codes."""

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        latent_dim: int = harness.setting(20, "size of the code", minimum=1)

    check_settings: ClassVar = {"latent_dim": 1}
    mean_: Tensor
    components_: Tensor
    noise_variance_: Tensor

    def __init__(self, info: harness.DataInfo, config: Config, **attributes: tuple[int, ...]) -> None:
        k = config.latent_dim
        if k >= info.as_vector():
            raise harness.NotApplicable(f"latent_dim={k} must be less than the {info.dim} values of an example")
        super().__init__(info, config, mean_=(info.dim,), components_=(k, info.dim), **attributes)

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes that the estimator gives examples, (N, latent)."""
        return torch.as_tensor(self.fitted().transform(self.rows(x)), dtype=torch.float32, device=x.device)

    def decode(self, z: Tensor) -> Tensor:
        """Return the means of p(x | z), (N, *shape)."""
        return self.examples(z.double() @ self.components_ + self.mean_, z)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the decoded codes, (N, *shape)."""
        return self.decode(self.encode(x))

    def deviations(self) -> Tensor:
        """Return the standard deviation of each code under the density of the estimator, (latent,)."""
        return torch.ones_like(self.components_[:, 0])

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Draw from the density, (n, *shape)."""
        z = noise.normal(n, len(self.components_)) * self.deviations()
        error = self.noise_variance_.sqrt() * noise.normal(n, self.dim)
        return self.examples(z @ self.components_ + self.mean_ + error, self.mean_)


class PrincipalComponents(Linear):
    """PCA; its density is that of probabilistic PCA (Tipping and Bishop, 1999), with variances divided by N − 1."""

    explained_variance_: Tensor

    def __init__(self, info: harness.DataInfo, config: Linear.Config) -> None:
        super().__init__(info, config, explained_variance_=(config.latent_dim,), noise_variance_=())

    def unfitted(self, noise: harness.Noise | None = None) -> PCA:
        """Return the estimator with its settings."""
        return PCA(self.config.latent_dim, svd_solver="covariance_eigh")

    def fitted(self) -> Any:
        """Return the estimator with what it has learned."""
        estimator = super().fitted()
        estimator.n_components_ = self.config.latent_dim
        return estimator

    def deviations(self) -> Tensor:
        """Return the standard deviation of each code that is not noise, (latent,)."""
        return (self.explained_variance_ - self.noise_variance_).clamp(min=0).sqrt()


class Factors(Linear):
    """Factor analysis, fitted by expectation-maximisation."""

    def __init__(self, info: harness.DataInfo, config: Linear.Config) -> None:
        super().__init__(info, config, noise_variance_=(info.as_vector(),))

    def unfitted(self, noise: harness.Noise | None = None) -> FactorAnalysis:
        """Return the estimator with its settings, and a seed if it is to be fitted."""
        return FactorAnalysis(self.config.latent_dim, random_state=0 if noise is None else _seed(noise))


class Mixture(Estimator):
    """A mixture of Gaussians with full covariances, fitted by expectation-maximisation from k-means."""

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        components: int = harness.setting(10, "Gaussians", minimum=1)
        regularisation: float = harness.setting(1e-3, "variance that is added to each value", above=0)

    check_settings: ClassVar = {"components": 2}

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        k, d = config.components, info.as_vector()
        square = (k, d, d)
        super().__init__(info, config, weights_=(k,), means_=(k, d), covariances_=square, precisions_cholesky_=square)

    def unfitted(self, noise: harness.Noise | None = None) -> GaussianMixture:
        """Return the estimator with its settings, and a seed if it is to be fitted."""
        seed = None if noise is None else _seed(noise)
        return GaussianMixture(self.config.components, reg_covar=self.config.regularisation, random_state=seed)

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Draw from the density in random order, (n, *shape)."""
        estimator = self.fitted().set_params(random_state=_seed(noise))
        return self.examples(estimator.sample(n)[0], self.means_)[noise.permutation(n)]


class Kernels(Estimator):
    """A Gaussian kernel around each of some training examples."""

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        points: int = harness.setting(1000, "training examples that have a kernel, chosen at random", minimum=1)
        bandwidth: float = harness.setting(0.2, "standard deviation of a kernel, in units of the data", above=0)

    check_settings: ClassVar = {"points": 20}
    kernels: Tensor

    def __init__(self, info: harness.DataInfo, config: Config) -> None:
        super().__init__(info, config, kernels=(config.points, info.as_vector()))

    def fit(self, train: harness.Split, noise: harness.Noise) -> None:
        """Keep the examples."""
        if len(train) < self.config.points:
            raise harness.NotApplicable(f"points={self.config.points} exceeds the {len(train)} training examples")
        self.kernels.copy_(train.subset(self.config.points).all(noise).flatten(1))

    def fitted(self) -> KernelDensity:
        """Return the estimator with its examples."""
        return KernelDensity(bandwidth=self.config.bandwidth).fit(self.kernels.cpu().numpy())

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        """Draw from the density, (n, *shape)."""
        return self.examples(self.fitted().sample(n, random_state=_seed(noise)), self.kernels)


def _seed(noise: harness.Noise) -> int:
    return int(noise.uniform(1).item() * 2**24)
