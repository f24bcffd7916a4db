"""Pictures of fits."""

from __future__ import annotations

from harness import FigureSpec, hookimpl


@hookimpl
def harness_figures() -> list[FigureSpec]:
    """Provide the pictures, in the order they are shown."""
    return [
        FigureSpec(
            "reconstructions",
            "harness_figures.reconstructions:Reconstructions",
            "test examples above their reconstructions",
        ),
        FigureSpec(
            "denoising",
            "harness_figures.reconstructions:Denoising",
            "test examples corrupted, reconstructed and clean",
        ),
        FigureSpec("samples", "harness_figures.samples:SampleGrid", "samples of the fitted model"),
        FigureSpec(
            "samples-in-training",
            "harness_figures.samples:SamplesInTraining",
            "samples at the first, middle and last epoch from the same latent points",
        ),
        FigureSpec("interpolation", "harness_figures.latent:Interpolation", "ways from one code to another"),
        FigureSpec("manifold", "harness_figures.latent:Manifold", "the plane of two latent numbers, decoded"),
        FigureSpec(
            "curves",
            "harness_figures.curves:TrainingCurves",
            "training and validation curves of every objective",
        ),
    ]
