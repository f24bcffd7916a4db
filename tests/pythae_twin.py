"""pythae's VAE with the networks of ours, for comparisons on the same weights."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from harness_vae.vae import VAE


def pythae_twin(model: VAE) -> nn.Module:
    """Return pythae's VAE around the encoder and the Bernoulli decoder of a model; skip where there is no pythae."""
    pythae = pytest.importorskip("pythae.models")
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def forward(self, x: Tensor) -> ModelOutput:
            posterior = model.posterior(x)
            return ModelOutput(embedding=posterior.mean, log_covariance=2 * posterior.stddev.log())

    class Decoder(BaseDecoder):
        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=model.decode(z))

    latent_dim = model.prior().event_shape[0]
    config = pythae.VAEConfig(input_dim=model.shape, latent_dim=latent_dim, reconstruction_loss="bce")
    return pythae.VAE(config, encoder=Encoder(), decoder=Decoder()).eval()
