"""The convolutional variational autoencoder for point sets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from harness import AdamSettings, DataInfo, Noise, NotApplicable, draw, setting
from harness.toolkit import ChamferKind, CouplingLayers, chamfer

_epsilon = 1e-5  # of batch normalisation


class ConVAE(nn.Module):
    """Minimises the Chamfer distance between a set and its reconstruction, plus β KL(q(z | x) ‖ N(0, I)).

    The ConVAE of Orzari et al. (2021) takes 3 × 25 images with a point in each column. Convolutions with 16, 32 and 64
    channels, kernels (3, 5), (1, 5) and (1, 5), stride 1 and padding (0, 1) are flattened to 64 · 19 = 1216 values,
    then follow 1500 units and a Gaussian posterior of ten dimensions. The decoder mirrors the encoder with transposed
    convolutions. ReLU follows every layer except the outputs; a sigmoid gives features in [0, 1].

    Inside the network and the loss, features are scaled to [0, ``scale``]. The default of 27, from the authors' code,
    gives positions in pixels of MNIST, and intensity the same weight. β is relative to this scale: on [0, 1] the
    distance is 729 times smaller, and at β = 0.3 the posterior collapses to the prior. The distance is summed over
    points and averaged over examples. It is not a log-likelihood, so the model has no bound on one. The distance
    ignores the order of points; the encoder does not. The channels, 1500 units and ten dimensions are also from the
    authors' code. Our choice: the softplus of the posterior's standard deviation.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        loss: ChamferKind = setting(
            "third-axis", "Chamfer distance with intensity as a third coordinate, or compared separately"
        )
        beta: float = setting(0.3, "weight of the KL divergence", minimum=0)
        scale: float = setting(
            27.0, "upper end of every feature's range in the network and the loss; 27 for pixels of MNIST", above=0
        )
        latent_dim: int = setting(10, "size of the code", minimum=1)
        channels: tuple[int, ...] = setting(
            (16, 32, 64), "channels of the encoder; the decoder mirrors them", minimum=1
        )
        dense: int = setting(1500, "width of the fully connected layer", minimum=1)

    zero: Tensor

    check_settings: ClassVar = {"channels": (4, 6), "dense": 32}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        self.config = config
        features, points = info.as_points()
        if features != 3:
            raise NotApplicable(f"it needs points (x, y, intensity), and these have {features} features")
        length = points - 2 * len(config.channels)  # a kernel of 5 with padding 1 shortens it by 2
        if length < 1:
            raise NotApplicable(f"its convolutions need more than {2 * len(config.channels)} points, not {points}")
        channels = [1, *config.channels]
        heights = [3] + [1] * (len(config.channels) - 1)
        convolutions = list(zip(pairwise(channels), heights, strict=True))
        flat = channels[-1] * length
        self.encoder = nn.Sequential()
        for (a, b), height in convolutions:
            self.encoder.extend([nn.Conv2d(a, b, (height, 5), padding=(0, 1)), nn.ReLU()])
        self.encoder.extend([nn.Flatten(), nn.Linear(flat, config.dense), nn.ReLU()])
        self.decoder = nn.Sequential(
            nn.Linear(config.latent_dim, config.dense),
            nn.ReLU(),
            nn.Linear(config.dense, flat),
            nn.Unflatten(1, (channels[-1], 1, length)),
        )
        for (a, b), height in reversed(convolutions):
            self.decoder.extend([nn.ReLU(), nn.ConvTranspose2d(b, a, (height, 5), padding=(0, 1))])
        self.decoder.append(nn.Sigmoid())
        self.posterior_head = nn.Linear(config.dense, 2 * config.latent_dim)  # means, then pre-softplus scales
        self.register_buffer("zero", torch.zeros(config.latent_dim))

    def prior(self) -> Distribution:
        """N(0, I)."""
        return Independent(Normal(self.zero, torch.ones_like(self.zero), validate_args=False), 1)

    def posterior(self, x: Tensor) -> Distribution:
        """Return q(z | x), a diagonal Gaussian."""
        mean, scale = self.posterior_head(self.encoder(self.config.scale * x)).chunk(2, dim=1)
        return Independent(Normal(mean, F.softplus(scale), validate_args=False), 1)

    def decode(self, z: Tensor) -> Tensor:
        """Return the point sets of codes, ``(N, 1, 3, points)``."""
        return self.decoder(z)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Decode the posterior's mean."""
        return self.decode(self.posterior(x).mean)

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Decode ``n`` codes from the prior."""
        return self.decode(noise.normal(n, len(self.zero)))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the distance at one draw of the posterior plus β times the KL divergence, averaged over examples."""
        posterior = self.posterior(x)
        return self._loss(x, posterior, draw(posterior, noise))

    def _loss(self, x: Tensor, posterior: Distribution, z: Tensor) -> Tensor:
        given, decoded = (self.config.scale * each.squeeze(1) for each in (x, self.decode(z)))
        distance = chamfer(given, decoded, self.config.loss)
        return (distance + self.config.beta * kl_divergence(posterior, self.prior())).mean()


class FlowConVAE(ConVAE):
    """A ``convae`` whose codes are drawn from a normalizing flow, which learns where the codes of the data lie.

    At a small β the posteriors of all examples together are far from N(0, I), so codes from N(0, I) are not those that
    the decoder knows. The flow of affine coupling layers (Dinh et al., 2017) maps N(0, I) to the codes, which batch
    normalisation has standardised. Its loss is −log p(z) of the codes that are drawn in training, in nats, added to the
    loss of ``convae``. No gradient of it reaches the encoder, so encoder and decoder are those of ``convae``.
    """

    @dataclass(frozen=True)
    class Config(ConVAE.Config):
        """Settings."""

        flow_layers: int = setting(6, "number of coupling layers of the flow", minimum=2)
        flow_hidden: tuple[int, ...] = setting((64, 64), "widths of the network in a coupling layer", minimum=1)

    code_mean: Tensor
    code_variance: Tensor

    check_settings: ClassVar = {**ConVAE.check_settings, "flow_hidden": (32,)}

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__(info, config)
        if config.latent_dim < 2:
            raise NotApplicable("its flow needs at least two latent dimensions")
        halves = config.latent_dim - config.latent_dim // 2, config.latent_dim // 2
        self.flow = CouplingLayers(halves, config.flow_layers, config.flow_hidden)
        self.register_buffer("code_mean", torch.zeros(config.latent_dim))
        self.register_buffer("code_variance", torch.ones(config.latent_dim))

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Decode ``n`` codes from the flow."""
        standard = self.flow.invert(noise.normal(n, len(self.zero)))
        return self.decode(self.code_mean + (self.code_variance + _epsilon).sqrt() * standard)

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return the loss of ``convae`` plus −log p(z) under the flow, averaged over examples."""
        posterior = self.posterior(x)
        z = draw(posterior, noise)
        return self._loss(x, posterior, z) - self._log_prob(z.detach()).mean()

    def _log_prob(self, z: Tensor) -> Tensor:
        """Return log p(z) under the flow in nats, ``(N,)``; in training, the running moments follow the codes."""
        uses_batch = self.training and len(z) > 1  # one code has no variance
        variance = z.var(0, correction=0) if uses_batch else self.code_variance
        standard = F.batch_norm(z, self.code_mean, self.code_variance, training=uses_batch, eps=_epsilon)
        log_determinant = -0.5 * (variance + _epsilon).log().sum()
        base, log_determinant = self.flow.transform(standard, log_determinant.expand(len(z)))
        return self.prior().log_prob(base) + log_determinant
