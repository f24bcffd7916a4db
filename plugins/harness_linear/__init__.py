"""Linear models: principal components, and the autoencoder that finds the same subspace by gradient."""

from __future__ import annotations

from harness import ModelSpec, hookimpl


@hookimpl
def harness_models() -> list[ModelSpec]:
    """Provide the linear models."""
    return [
        ModelSpec("pca", "harness_linear.pca:PCA", "principal component analysis, in closed form", version="1"),
        ModelSpec(
            "linear-ae",
            "harness_linear.linear_ae:LinearAutoencoder",
            "linear autoencoder trained by gradient; its optimum is PCA's subspace",
            version="1",
        ),
    ]
