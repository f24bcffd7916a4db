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
            "generative adversarial network with fully connected layers",
            version="2",
        ),
        ModelSpec(
            "dcgan",
            "harness_gan.dcgan:DCGAN",
            "generative adversarial network with convolutional layers",
            version="1",
        ),
        ModelSpec(
            "wgan-gp",
            "harness_gan.wgan_gp:WGANGP",
            "Wasserstein GAN with gradient penalty, on the networks of gan",
            version="2",
        ),
    ]
