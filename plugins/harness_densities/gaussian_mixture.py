"""The mixture of Gaussians."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

from harness import DataInfo, Noise, NotApplicable, Split, setting


class GaussianMixture(nn.Module):
    """p(x) = Σ πⱼ N(x; μⱼ, Σⱼ), fitted by expectation-maximisation (Dempster, Laird and Rubin, 1977).

    scikit-learn fits it, starting from k-means clusters. Covariances are diagonal, full, or ``tied``: full and shared
    by all components.

    Our choice: ``regularisation`` is added to every variance. It prevents a component from collapsing onto a few
    examples, or onto values that hardly vary, such as the pixels at the border of digits. The default is a standard
    deviation of 0.01; with less, the mean likelihood of new images depends on a few outliers.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        components: int = setting(30, "number of components", minimum=1)
        covariance: Literal["diagonal", "full", "tied"] = setting("diagonal", "covariance of the components")
        regularisation: float = setting(1e-4, "added to every variance, in squared units of the data", above=0)
        iterations: int = setting(100, "maximum number of iterations of expectation-maximisation", minimum=1)
        tolerance: float = setting(1e-3, "stop when the mean log-likelihood gains less, in nats", above=0)

    weights: Tensor
    means: Tensor
    factors: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        d, k = info.as_vector(), config.components
        self.config = config
        self.shape = info.shape
        factors = {"diagonal": torch.ones(k, d), "full": torch.eye(d).repeat(k, 1, 1), "tied": torch.eye(d)}
        self.register_buffer("weights", torch.full((k,), 1 / k))
        self.register_buffer("means", torch.zeros(k, d))
        # Standard deviations (k, d), or Cholesky factors L of Σ = L Lᵀ, (k, d, d) or (d, d).
        self.register_buffer("factors", factors[config.covariance])

    def fit(self, train: Split, noise: Noise) -> None:
        """Run expectation-maximisation in float64.

        Raises:
            NotApplicable: there are more components than training examples.
        """
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture as Estimator
        from threadpoolctl import threadpool_limits

        config = self.config
        if config.components > len(train):
            raise NotApplicable(f"components={config.components} exceeds the {len(train)} training examples")
        estimator = Estimator(
            config.components,
            covariance_type={"diagonal": "diag"}.get(config.covariance, config.covariance),
            reg_covar=config.regularisation,
            max_iter=config.iterations,
            tol=config.tolerance,
            random_state=int(noise.permutation(2**16)[0]),
        )
        with warnings.catch_warnings(), threadpool_limits(torch.get_num_threads()):
            warnings.simplefilter("ignore", ConvergenceWarning)  # the user sets the number of iterations
            estimator.fit(train.all(noise).flatten(1).double().cpu().numpy())
        covariances = torch.as_tensor(estimator.covariances_)
        diagonal = config.covariance == "diagonal"
        self.weights.copy_(torch.as_tensor(estimator.weights_))
        self.means.copy_(torch.as_tensor(estimator.means_))
        self.factors.copy_(covariances.sqrt() if diagonal else torch.linalg.cholesky(covariances))

    def log_prob(self, x: Tensor) -> Tensor:
        """Return the exact log p(x) in nats, ``(N,)`` float64."""
        x = x.flatten(1).double()
        of_each = torch.stack([self._component(j).log_prob(x) for j in range(len(self.weights))])  # (k, N)
        return (of_each + self.weights.double().log().unsqueeze(1)).logsumexp(0)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Draw ``n`` components, and an example from each, ``(n, *shape)``."""
        chosen = torch.searchsorted(self.weights.cumsum(0), noise.uniform(n)).clamp(max=len(self.weights) - 1)
        normal = noise.normal(n, self.means.shape[1])
        if self.config.covariance == "diagonal":
            offset = self.factors[chosen] * normal
        elif self.config.covariance == "tied":
            offset = normal @ self.factors.T
        else:
            offset = torch.zeros_like(normal)
            for j in range(len(self.weights)):
                offset[chosen == j] = normal[chosen == j] @ self.factors[j].T
        return (self.means[chosen] + offset).unflatten(1, self.shape)  # type: ignore[no-any-return]

    def _component(self, j: int) -> Distribution:
        """Return N(μⱼ, Σⱼ) in float64."""
        mean, factors = self.means[j].double(), self.factors.double()
        if self.config.covariance == "diagonal":
            return Independent(Normal(mean, factors[j], validate_args=False), 1)
        factor = factors if self.config.covariance == "tied" else factors[j]
        return MultivariateNormal(mean, scale_tril=factor, validate_args=False)
