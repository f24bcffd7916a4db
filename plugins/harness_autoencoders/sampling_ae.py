"""The autoencoder whose decoder is fed with a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from harness import DataInfo, Noise, Split, setting
from harness_autoencoders.autoencoder import Autoencoder, AutoencoderSettings


class SamplingAutoencoder(Autoencoder):
    """An autoencoder without a prior: new codes come from a Gaussian that is fitted to its codes after training.

    This is ex-post density estimation with one Gaussian (Ghosh et al., 2020). The networks are those of ``vae``:
    784–500 with ReLU, a linear code of 20, 500 with ReLU, 784. On binary data the default loss is the reconstruction
    term of ``vae`` without its noise and without the KL divergence, so the two show what these add to a decoder.

    Our choices: the paper's regularisation of the decoder is left out, and the mean and covariance are those of the
    codes of the validation split, which are not the codes that the networks were trained on.
    """

    @dataclass(frozen=True)
    class Config(AutoencoderSettings):
        """Settings."""

        latent_dim: int = setting(20, "size of the code", minimum=1)
        hidden: tuple[int, ...] = setting((500,), "widths of the encoder; the decoder mirrors them", minimum=1)

    code_mean: Tensor
    code_factor: Tensor

    check_settings: ClassVar[dict[str, Any]] = {"hidden": (32,)}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        widths = [info.as_vector(), *config.hidden, config.latent_dim]
        self.encoder = nn.Sequential(nn.Flatten(), *_layers(widths))
        self.decoder = _layers(widths[::-1])
        self.register_buffer("code_mean", torch.zeros(config.latent_dim))
        self.register_buffer("code_factor", torch.eye(config.latent_dim))  # F of the covariance F Fᵀ, symmetric

    def calibrate(self, validation: Split, noise: Noise) -> None:
        """Set the mean and the covariance of the Gaussian to those of the codes of the validation split."""
        codes = torch.cat([self.encode(x) for x in validation.batches(1000, noise)]).double()
        mean = codes.mean(0)
        covariance = (codes - mean).T @ (codes - mean) / len(codes)
        variances, axes = torch.linalg.eigh(covariance)  # unlike Cholesky's, it exists where a unit is constant
        self.code_mean.copy_(mean)
        # The symmetric root does not depend on the signs of the axes, which differ between machines.
        self.code_factor.copy_(axes * variances.clamp(min=0).sqrt() @ axes.T)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Decode ``n`` codes from the Gaussian, ``(n, *shape)``."""
        return self.decode(self.code_mean + noise.normal(n, len(self.code_mean)) @ self.code_factor.T)


def _layers(widths: list[int]) -> nn.Sequential:
    """Return linear layers of these widths with ReLU between them."""
    layers = nn.Sequential()
    for a, b in pairwise(widths):
        layers.extend([nn.Linear(a, b), nn.ReLU()])
    return layers[:-1]
