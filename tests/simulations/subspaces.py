"""How far the subspaces of linear autoencoders are from those of principal components.

From the root of the repository,

    PYTHONPATH=.:plugins python -m tests.simulations.subspaces

prints the table of docs/findings.md, in some minutes on one core. Models are trained on mnist-10k.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

import harness
from harness_linear.linear_ae import LinearAutoencoder
from harness_linear.pca import PCA

sizes, seeds, epochs = [2, 10, 32], 3, 100


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Return the principal angles between the column spaces of ``a`` and ``b`` ``(d, k)`` in degrees, largest first.

    By their sines, which are more exact than cosines where angles are small (Björck and Golub, 1973).
    """
    first, second = (torch.linalg.qr(each.double())[0] for each in (a, b))
    rest = second - first @ (first.T @ second)
    sines: Tensor = torch.linalg.svdvals(rest)
    return sines.clamp(max=1).asin().rad2deg()


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as runs:
        harness.run(
            ["pca", "linear-ae"],
            ["reconstruction-mse"],
            "mnist-10k",
            settings={"pca.latent_dim": sizes, "linear-ae.latent_dim": sizes},
            epochs=epochs,
            seeds=seeds,
            runs=runs,
            quiet=True,
            figures=False,
        )
        stored = harness.open(Path(runs))
        models = [stored.load(each.key) for each in stored.fits()]
    components = {each.components.shape[1]: each.components for each in models if isinstance(each, PCA)}
    print("| size of the code | largest angle | mean angle |")
    print("|---|---|---|")
    for k in sizes:
        linear = [each for each in models if isinstance(each, LinearAutoencoder) and each.encoder.out_features == k]
        found = torch.stack([angles(components[k], each.decoder.weight.detach()) for each in linear])
        largest, mean = found.amax(1), found.mean(1)
        print(
            f"| {k} | {largest.min():.2f}° to {largest.max():.2f}° | {mean.min():.2f}° to {mean.max():.2f}° |",
            flush=True,
        )


if __name__ == "__main__":
    main()
