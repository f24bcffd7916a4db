"""Generative adversarial networks."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the adversarial networks."""
    return [
        ModelSpec(
            "gan",
            "harness_gan.gan:GAN",
            "generative adversarial network of fully connected layers",
            version="1",
        )
    ]
