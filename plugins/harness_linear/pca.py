"""Principal component analysis."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from harness import DataInfo, Noise, NotApplicable, Split, setting
from harness_linear.eigenpairs import leading_eigenpairs
from harness_linear.moments import moments


class PCA(nn.Module):
    """Projects centred data on the k leading eigenvectors of the training covariance (Hotelling, 1933).

    No linear map through k units has a lower squared error on the training set (Eckart and Young, 1936).
    Reconstructions are not clipped to the range of the data.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        latent_dim: int = setting(20, "number of components, k", minimum=1)

    mean: Tensor
    components: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        if config.latent_dim > info.as_vector():
            raise NotApplicable(f"latent_dim={config.latent_dim} exceeds the {info.dim} values of an example")
        self.shape = info.shape
        self.register_buffer("mean", torch.zeros(info.dim))
        self.register_buffer("components", torch.zeros(info.dim, config.latent_dim))  # (d, k), leading first

    def fit(self, train: Split, noise: Noise) -> None:
        """Take the leading eigenvectors of the covariance, accumulated in float64."""
        k = self.components.shape[1]
        if k > len(train) - 1:
            raise NotApplicable(f"latent_dim={k} exceeds the rank of {len(train)} centred training examples")
        mean, covariance = moments(train, noise)
        _, vectors, _ = leading_eigenpairs(covariance, k)
        self.mean.copy_(mean)
        self.components.copy_(vectors.flip(1))

    def encode(self, x: Tensor) -> Tensor:
        """Return the k coordinates of each example, ``(N, k)``."""
        return (x.flatten(1) - self.mean) @ self.components

    def decode(self, z: Tensor) -> Tensor:
        """Return the point of the principal subspace with coordinates ``z``, ``(N, *shape)``."""
        return (z @ self.components.T + self.mean).unflatten(1, self.shape)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Project on the principal subspace."""
        return self.decode(self.encode(x))
