"""The vector-quantised variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

from harness import AdamSettings, DataInfo, Noise, Objective, likelihood_measure, setting
from harness.toolkit import Bernoulli
from harness_vae.variational import log_variance_scale


class VQVAE(nn.Module):
    """Images as grids of codebook entries, and a prior over such grids (van den Oord, Vinyals, Kavukcuoglu, 2017).

    Strided convolutions turn an image into a grid of vectors. Each vector is replaced by its nearest codebook entry,
    with a straight-through gradient. Transposed convolutions turn the grid into p(x | codes), which is Bernoulli on
    binary data and otherwise Gaussian with one learned variance. The autoencoder minimises
    −log p(x | codes) + ‖sg[z] − e‖² + β ‖z − sg[e]‖², where sg stops the gradient. A second objective with its own
    parameters trains the prior on log p(codes) in raster order, with the codes fixed. Since q(codes | x) is one-hot,
    log p(x | codes) + log p(codes) is a lower bound on log p(x).

    Our choices: the prior, a small PixelCNN without gates, is trained together with the autoencoder; z and the entries
    are normalised to mean 0 and variance 1, which puts them on a sphere of few dimensions and keeps all entries close
    to use; sides that cannot be halved often enough are padded with zeros, and the result is cropped. Three halvings, a
    4 × 4 grid on MNIST, give the best bound: the 49 codes of two halvings give sharper reconstructions, but their
    prior costs more nats than that gains.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        codebook_size: int = setting(128, "number of entries in the codebook", minimum=1)
        code_dim: int = setting(4, "size of an entry", minimum=3)
        channels: int = setting(48, "channels of the convolutions", minimum=1)
        halvings: int = setting(3, "how often the encoder halves the sides", minimum=1)
        commitment: float = setting(0.25, "β, weight of the penalty that keeps z near its entry", minimum=0)
        prior_width: int = setting(64, "channels of the prior", minimum=1)
        prior_layers: int = setting(4, "layers of the prior after the first", minimum=0)

    check_settings: ClassVar = {"codebook_size": 16, "channels": 8, "halvings": 1, "prior_width": 8, "prior_layers": 1}

    scaled_log_variance: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        channels, height, width = info.as_image()
        self.config = config
        self.shape = info.shape
        self.kind = "bernoulli" if info.support == "binary" else "gaussian"
        self.multiple = 2**config.halvings
        self.grid = -(-height // self.multiple), -(-width // self.multiple)
        self.encoder, self.decoder = nn.Sequential(), nn.Sequential()
        self.decoder.append(nn.Conv2d(config.code_dim, config.channels, 3, padding=1))
        for step in range(config.halvings):
            first, last = step == 0, step == config.halvings - 1
            self.encoder.append(nn.Conv2d(channels if first else config.channels, config.channels, 4, 2, padding=1))
            self.encoder.append(nn.ReLU())
            outs = channels if last else config.channels
            self.decoder.append(nn.ReLU())
            self.decoder.append(nn.ConvTranspose2d(config.channels, outs, 4, 2, padding=1))
        self.encoder.append(nn.Conv2d(config.channels, config.code_dim, 3, padding=1))
        self.unnormalized = nn.Parameter(torch.randn(config.codebook_size, config.code_dim))
        scaled = torch.tensor(0.1).log() / log_variance_scale
        if self.kind == "gaussian":
            self.scaled_log_variance = nn.Parameter(scaled)
        else:
            self.register_buffer("scaled_log_variance", scaled)
        self.code_prior = CodePrior(config.codebook_size, config.prior_width, config.prior_layers)
        observed: Distribution = Bernoulli(torch.tensor(0.5)) if self.kind == "bernoulli" else Normal(0.0, 1.0)
        self.measure = likelihood_measure(info, observed)

    def objectives(self) -> list[Objective]:
        """Return the autoencoder's objective, then the prior's."""
        prior = list(self.code_prior.parameters())
        owned = {id(each) for each in prior}
        rest = [each for each in self.parameters() if id(each) not in owned]
        return [
            Objective("autoencoder", self.autoencoder_loss, rest, self.config),
            Objective("prior", self.prior_loss, prior, self.config),
        ]

    def autoencoder_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −log p(x | codes) plus both penalties, summed over the grid and averaged over examples."""
        z = self._encoded(x)
        entries = self.codebook[self.nearest(z)]
        reconstruction = self.likelihood(straight_through(z, entries)).log_prob(x)
        codebook = (z.detach() - entries).square().flatten(1).sum(1)
        commitment = (z - entries.detach()).square().flatten(1).sum(1)
        return (codebook + self.config.commitment * commitment - reconstruction).mean()

    def prior_loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return −log p(codes), averaged over examples, in nats."""
        with torch.no_grad():
            codes = self.codes(x)
        return -self.code_prior.log_prob(codes).mean()

    def codes(self, x: Tensor) -> Tensor:
        """Return the indices of the entries that encode ``x``, ``(N, h, w)`` int64."""
        return self.nearest(self._encoded(x))

    @property
    def codebook(self) -> Tensor:
        """The entries, ``(codebook_size, code_dim)``."""
        return F.layer_norm(self.unnormalized, self.unnormalized.shape[1:])

    def nearest(self, z: Tensor) -> Tensor:
        """Return the index of the codebook's entry nearest to each vector of ``z`` ``(..., code_dim)``."""
        # ‖z − e‖² without ‖z‖², which is the same for all entries.
        return (self.codebook.square().sum(1) - 2 * z @ self.codebook.T).argmin(-1)

    def likelihood(self, entries: Tensor) -> Distribution:
        """Return p(x | codes) for the entries of the codes, ``(N, h, w, code_dim)``."""
        _, height, width = self.shape
        out = self.decoder(entries.movedim(-1, 1))[..., :height, :width]
        if self.kind == "bernoulli":
            return Independent(Bernoulli(logits=out, validate_args=False), 3)
        scale = (log_variance_scale * self.scaled_log_variance).exp().sqrt().expand_as(out)
        return Independent(Normal(out, scale, validate_args=False), 3)

    def elbo_terms(self, x: Tensor, noise: Noise) -> dict[str, Tensor]:
        """Return log p(x | codes) and log p(codes), each ``(N,)`` in nats, without randomness."""
        codes = self.codes(x)
        return {
            "reconstruction": self.likelihood(self.codebook[codes]).log_prob(x),
            "prior": self.code_prior.log_prob(codes),
        }

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | codes), ``(N, *shape)``."""
        return self.likelihood(self.codebook[self.codes(x)]).mean

    def sample(self, n: int, noise: Noise) -> Tensor:
        """Return the means of p(x | codes) for ``n`` grids of codes drawn from the prior."""
        codes = self.code_prior.sample(n, self.grid, noise)
        return self.likelihood(self.codebook[codes]).mean

    def _encoded(self, x: Tensor) -> Tensor:
        """Return the vectors to quantise, ``(N, h, w, code_dim)``."""
        _, height, width = self.shape
        padded = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        z = self.encoder(padded).movedim(1, -1)
        return F.layer_norm(z, z.shape[-1:])


def straight_through(z: Tensor, entries: Tensor) -> Tensor:
    """Return ``entries``; their gradient is passed to ``z`` unchanged."""
    return z + (entries - z).detach()


class CodePrior(nn.Module):
    """A PixelCNN (van den Oord, Kalchbrenner and Kavukcuoglu, 2016): a code depends on those before it in raster order.

    It has the blind spot of that paper, above and far to the right of a code. This costs some likelihood, but
    causality is exact.
    """

    def __init__(self, codebook_size: int, width: int, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codebook_size, width)
        self.first = CausalConv2d(width, width, 7, sees_itself=False)
        self.layers = nn.ModuleList(CausalConv2d(width, width, 3, sees_itself=True) for _ in range(layers))
        self.out = nn.Conv2d(width, codebook_size, 1)

    def forward(self, codes: Tensor) -> Tensor:
        """Return the logits of each of ``codes`` ``(N, h, w)`` given those before it, ``(N, codebook, h, w)``."""
        h = self.first(self.embedding(codes).movedim(-1, 1))
        for layer in self.layers:
            h = h + layer(F.relu(h))
        return self.out(F.relu(h))  # type: ignore[no-any-return]

    def log_prob(self, codes: Tensor) -> Tensor:
        """Return log p(codes), ``(N,)`` in nats."""
        log_probs = self(codes).log_softmax(1)
        return log_probs.gather(1, codes[:, None]).flatten(1).sum(1)  # type: ignore[no-any-return]

    def sample(self, n: int, grid: tuple[int, int], noise: Noise) -> Tensor:
        """Draw grids of codes, one code after another, ``(n, *grid)`` int64."""
        height, width = grid
        codes = torch.zeros(n, height, width, dtype=torch.long, device=self.embedding.weight.device)
        for row in range(height):
            for column in range(width):
                cumulative = self(codes[:, : row + 1])[:, :, row, column].softmax(1).cumsum(1)
                u = noise.uniform(n, 1) * cumulative[:, -1:]  # the last is 1 up to rounding
                codes[:, row, column] = (cumulative <= u).sum(1)
        return codes


class CausalConv2d(nn.Conv2d):
    """A convolution that keeps the size of the grid and sees only positions before its own in raster order.

    With ``sees_itself`` it sees its own position too.
    """

    mask: Tensor

    def __init__(self, ins: int, outs: int, kernel: int, *, sees_itself: bool) -> None:
        super().__init__(ins, outs, kernel, padding=kernel // 2)
        position = torch.arange(kernel**2).view(kernel, kernel)
        last = kernel**2 // 2 - (not sees_itself)
        self.register_buffer("mask", (position <= last).to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(N, outs, h, w)`` from ``x`` ``(N, ins, h, w)``."""
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
