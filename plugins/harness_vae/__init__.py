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
            "convae",
            "harness_vae.convae:ConVAE",
            "convolutional variational autoencoder of point sets on a Chamfer distance",
            version="1",
        ),
    ]
