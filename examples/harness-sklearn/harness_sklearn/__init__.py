"""Estimators of scikit-learn as models of harness."""

import harness


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    """Provide the models, which are imported when they are used."""
    found = {
        "sklearn-pca": ("PrincipalComponents", "PCA of scikit-learn, with its probabilistic density"),
        "sklearn-factor-analysis": ("Factors", "FactorAnalysis of scikit-learn"),
        "sklearn-mixture": ("Mixture", "GaussianMixture of scikit-learn"),
        "sklearn-kernel-density": ("Kernels", "KernelDensity of scikit-learn"),
    }
    return [
        harness.ModelSpec(name, f"harness_sklearn.models:{model}", summary, version="1")
        for name, (model, summary) in found.items()
    ]
