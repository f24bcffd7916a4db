"""Models of pythae (Chadebec, Vincent and Allassonnière, 2022) as models of harness."""

import harness


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    """Provide the models, which are imported when they are used."""
    return [
        harness.ModelSpec("pythae-vae", "harness_pythae.models:PythaeVAE", "VAE of pythae", version="1"),
        harness.ModelSpec("pythae-iwae", "harness_pythae.models:PythaeIWAE", "IWAE of pythae", version="1"),
        harness.ModelSpec("pythae-vamp", "harness_pythae.models:PythaeVAMP", "VAMP of pythae", version="1"),
        harness.ModelSpec("pythae-beta-tc", "harness_pythae.models:PythaeBetaTC", "β-TC-VAE of pythae", version="1"),
    ]
