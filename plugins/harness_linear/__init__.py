"""Linear models: PCA, the linear autoencoder, and linear-Gaussian models with an exact density."""

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
            "linear autoencoder trained by gradient descent; its optimum is PCA's subspace",
            version="1",
        ),
        ModelSpec(
            "ppca",
            "harness_linear.ppca:PPCA",
            "probabilistic principal component analysis, in closed form; exact density",
            version="2",
        ),
        ModelSpec(
            "factor-analysis",
            "harness_linear.factor_analysis:FactorAnalysis",
            "factor analysis, with a noise variance for each value; exact density",
            version="1",
        ),
    ]
