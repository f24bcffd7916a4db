"""Pictures of fitted models, and of boards."""

from __future__ import annotations

from harness import BoardFigureSpec, FigureSpec, hookimpl


@hookimpl
def harness_figures() -> list[FigureSpec]:
    """Provide the figures, in the order in which they are shown."""
    return [
        FigureSpec(
            "reconstructions",
            "harness_figures.reconstructions:Reconstructions",
            "test examples and their reconstructions",
        ),
        FigureSpec(
            "denoising",
            "harness_figures.reconstructions:Denoising",
            "test examples: corrupted, reconstructed and clean",
        ),
        FigureSpec("samples", "harness_figures.samples:SampleGrid", "samples of the fitted model"),
        FigureSpec(
            "samples-in-training",
            "harness_figures.samples:SamplesInTraining",
            "samples after the first, middle and last epoch, from the same latent points",
        ),
        FigureSpec("interpolation", "harness_figures.latent:Interpolation", "decoded straight paths between codes"),
        FigureSpec("manifold", "harness_figures.latent:Manifold", "the decoded plane of a two-dimensional code"),
        FigureSpec(
            "curves",
            "harness_figures.curves:TrainingCurves",
            "training and validation curves of every objective",
        ),
    ]


@hookimpl
def harness_board_figures() -> list[BoardFigureSpec]:
    """Provide the figures of boards, in the order in which they are shown."""
    return [
        BoardFigureSpec(
            "sweeps",
            "harness_figures.boards:sweeps",
            "each metric against a setting that was swept, with intervals",
        ),
        BoardFigureSpec(
            "rate-distortion",
            "harness_figures.boards:rate_distortion",
            "distortion against rate, one line a model",
        ),
    ]
