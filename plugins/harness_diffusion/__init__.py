"""Models that turn noise into data in many small steps: diffusion and flow matching."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide diffusion and flow matching."""
    return [
        ModelSpec(
            "ddpm",
            "harness_diffusion.ddpm:DDPM",
            "denoising diffusion with a small U-Net; has a variational bound",
            version="1",
        ),
        ModelSpec(
            "flow-matching",
            "harness_diffusion.flow_matching:FlowMatching",
            "flow matching along straight paths from noise to data",
            version="1",
        ),
    ]
