"""Models with an exact density: mixtures and flows."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the models with an exact density."""
    return [
        ModelSpec(
            "gaussian-mixture",
            "harness_densities.gaussian_mixture:GaussianMixture",
            "mixture of Gaussians; exact density",
            version="2",
        ),
        ModelSpec(
            "realnvp",
            "harness_densities.realnvp:RealNVP",
            "normalizing flow of affine coupling layers; exact density of continuous data",
            version="1",
        ),
    ]
