"""Non-linear autoencoders."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the autoencoders."""
    return [
        ModelSpec(
            "mlp-ae",
            "harness_autoencoders.mlp_ae:MLPAutoencoder",
            "deep autoencoder with fully connected sigmoid layers",
            version="1",
        ),
        ModelSpec(
            "cnn-ae",
            "harness_autoencoders.cnn_ae:CNNAutoencoder",
            "convolutional autoencoder with a linear code",
            version="1",
        ),
        ModelSpec(
            "sparse-ae",
            "harness_autoencoders.sparse_ae:SparseAutoencoder",
            "autoencoder with a wide code that an L1 penalty keeps sparse",
            version="1",
        ),
        ModelSpec(
            "denoising-ae",
            "harness_autoencoders.denoising:DenoisingAutoencoder",
            "mlp-ae trained to reconstruct clean examples from noisy ones",
            version="1",
        ),
        ModelSpec(
            "denoising-cnn-ae",
            "harness_autoencoders.denoising:DenoisingCNNAutoencoder",
            "cnn-ae trained to reconstruct clean examples from noisy ones",
            version="1",
        ),
        ModelSpec(
            "sampling-ae",
            "harness_autoencoders.sampling_ae:SamplingAutoencoder",
            "autoencoder that draws codes from a Gaussian fitted to those of validation examples",
            version="2",
        ),
    ]
