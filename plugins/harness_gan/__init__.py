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
        ),
        ModelSpec(
            "dcgan",
            "harness_gan.dcgan:DCGAN",
            "generative adversarial network of convolutions",
            version="1",
        ),
        ModelSpec(
            "wgan-gp",
            "harness_gan.wgan_gp:WGANGP",
            "Wasserstein adversarial network with gradient penalty",
            version="1",
        ),
    ]
