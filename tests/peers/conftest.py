"""Features on which metrics of sample quality are compared with other packages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from harness import Data, DataSource
from harness_datasets.idx import MNIST
from harness_metrics.quality.sample_quality import draw_samples, reference_of
from harness_vae.vae import VAE

images = 1000


@pytest.fixture(scope="session")
def mnist(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Return full MNIST, grey."""
    return MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path_factory.mktemp("cache"), print))


@pytest.fixture(scope="session")
def model(fit: Callable[..., nn.Module], mnist: Data) -> nn.Module:
    """Return a VAE after one epoch."""
    return fit(VAE, VAE.Config(), mnist, epochs=1)


@pytest.fixture(scope="session", params=["gaussian", pytest.param("pixels", marks=pytest.mark.full_mnist)])
def features(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """Return Gaussian features, or the pixels of a VAE's samples and of test images of MNIST, ``(1000, d)`` each."""
    if request.param == "gaussian":
        return 1.2 * normal(images, 16) + 0.3, normal(images, 16, seed=1)
    model, mnist = (request.getfixturevalue(name) for name in ("model", "mnist"))
    with torch.no_grad():
        reference = reference_of(mnist, request.param, images, None)
        return reference.space(draw_samples(model, images, mnist, 0)), reference.test


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
