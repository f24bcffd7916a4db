"""The importance-weighted autoencoder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from harness import Noise, setting
from harness.toolkit import log_importance_weights
from harness_vae.vae import VAE


class IWAE(VAE):
    """The VAE's network trained on E[log (1/k) Σ p(x, zᵢ) / q(zᵢ | x)] (Burda, Grosse and Salakhutdinov, 2016).

    At k = 1 it is the VAE, except that the KL divergence is estimated from the same sample. A larger k tightens the
    bound on log p(x) and constrains the posterior less. The posterior becomes a better proposal and a worse
    approximation: the k-sample bound rises, and the ELBO may fall.
    """

    @dataclass(frozen=True)
    class Config(VAE.Config):
        """Settings: those of ``vae``, and k."""

        k: int = setting(50, "samples from the posterior in the bound", minimum=1)

    check_settings: ClassVar[Mapping[str, Any]] = {"hidden": (32,), "k": 5}
    loss_name: ClassVar[str] = "negative k-sample bound"

    config: Config

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the negative k-sample bound, averaged over examples, in nats."""
        k = self.config.k
        log_weights = log_importance_weights(self, x, k, noise)  # (k, B)
        return (math.log(k) - log_weights.logsumexp(0)).mean()
