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
            "deep autoencoder of fully connected sigmoid layers",
            version="1",
        )
    ]
