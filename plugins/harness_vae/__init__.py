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
            "variational autoencoder; Bernoulli observations of binary data, else Gaussian",
            version="1",
        ),
        ModelSpec(
            "iwae",
            "harness_vae.iwae:IWAE",
            "importance-weighted autoencoder: the VAE's network trained on the k-sample bound",
            version="1",
        ),
        ModelSpec(
            "gaussian-vae",
            "harness_vae.gaussian_vae:GaussianVAE",
            "vae with Gaussian observations of fixed variance, for any data",
            version="1",
        ),
        ModelSpec(
            "beta-vae",
            "harness_vae.beta_vae:BetaVAE",
            "vae with the KL divergence weighted by beta in its loss",
            version="1",
        ),
        ModelSpec(
            "cnn-vae",
            "harness_vae.cnn_vae:CNNVAE",
            "variational autoencoder with a convolutional encoder and decoder",
            version="1",
        ),
        ModelSpec(
            "convae",
            "harness_vae.convae:ConVAE",
            "convolutional variational autoencoder of point sets, trained on a Chamfer distance",
            version="1",
        ),
        ModelSpec(
            "convae-flow",
            "harness_vae.convae:FlowConVAE",
            "convae whose codes are drawn from a normalizing flow",
            version="1",
        ),
        ModelSpec(
            "vq-vae",
            "harness_vae.vq_vae:VQVAE",
            "vector-quantised autoencoder with a PixelCNN prior over its codes",
            version="1",
        ),
    ]
