"""The linear autoencoder."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from harness import AdamSettings, DataInfo, Noise, setting


class LinearAutoencoder(nn.Module):
    """Minimises ½‖W_g W_f x − x‖² over centred x (Baldi and Hornik, 1989).

    Every minimum spans the k leading principal components, so its error on the training set approaches PCA's from
    above. Both maps have no bias; the training mean is subtracted before encoding and added after decoding.
    """

    @dataclass(frozen=True)
    class Config(AdamSettings):
        """Settings."""

        latent_dim: int = setting(20, "number of linear units, k", minimum=1)

    mean: Tensor

    def __init__(self, info: DataInfo, config: Config) -> None:
        super().__init__()
        self.shape = info.shape
        self.register_buffer("mean", info.mean.flatten().clone())
        self.encoder = nn.Linear(info.as_vector(), config.latent_dim, bias=False)  # W_f
        self.decoder = nn.Linear(config.latent_dim, info.dim, bias=False)  # W_g

    def encode(self, x: Tensor) -> Tensor:
        """Return the codes, ``(N, k)``."""
        return self.encoder(x.flatten(1) - self.mean)  # type: ignore[no-any-return]

    def decode(self, z: Tensor) -> Tensor:
        """Return the reconstruction from codes, ``(N, *shape)``."""
        return (self.decoder(z) + self.mean).unflatten(1, self.shape)  # type: ignore[no-any-return]

    def reconstruct(self, x: Tensor) -> Tensor:
        """Encode and decode."""
        return self.decode(self.encode(x))

    def loss(self, x: Tensor, noise: Noise) -> Tensor:
        """Return half the squared error, summed over values and averaged over examples."""
        return 0.5 * (self.reconstruct(x) - x).square().flatten(1).sum(1).mean()
