"""Variational autoencoders."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the variational autoencoders."""
    return [
        ModelSpec(
            "vae",
            "harness_vae.vae:VAE",
            "variational autoencoder; Bernoulli or Gaussian observations by the data's support",
            version="1",
        ),
        ModelSpec(
            "iwae",
            "harness_vae.iwae:IWAE",
            "importance-weighted autoencoder: the VAE's network on the k-sample bound",
            version="1",
        ),
        ModelSpec(
            "vq-vae",
            "harness_vae.vq_vae:VQVAE",
            "vector-quantised autoencoder, with a PixelCNN as prior over its codes",
            version="1",
        ),
    ]
