"""A diffusion model of diffusers as a model of harness."""

import harness


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    """Provide the model, which is imported when it is used."""
    return [harness.ModelSpec("diffusers-ddim", "harness_diffusers.model:DDIM", "UNet of diffusers", version="1")]
