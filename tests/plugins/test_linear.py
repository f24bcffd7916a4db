"""What is known exactly of linear models."""

from pathlib import Path

import pytest
import torch

from harness import Data, DataSource, Noise, NotApplicable
from harness_datasets.idx import MNIST
from harness_linear.linear_ae import LinearAutoencoder
from harness_linear.pca import PCA


@torch.no_grad()
def training_error(model, data: Data) -> float:
    x = data.train.all(Noise(0))
    return float((model.reconstruct(x) - x).double().square().mean())


def test_pca_is_the_truncated_singular_value_decomposition(fit, small_data: Data) -> None:
    model = fit(PCA, PCA.Config(latent_dim=4), small_data, epochs=20)
    x = small_data.train.all(Noise(0)).flatten(1).double()
    centred = x - x.mean(0)
    _, s, _ = torch.linalg.svd(centred, full_matrices=False)
    assert training_error(model, small_data) == pytest.approx(float(s[4:].square().sum()) / x.numel(), rel=1e-5)


def test_pca_with_all_components_reconstructs_exactly(fit, small_data: Data) -> None:
    model = fit(PCA, PCA.Config(latent_dim=30), small_data, epochs=20)
    assert training_error(model, small_data) < 1e-10


def test_pca_refuses_more_components_than_there_are_values(fit, small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="30 values"):
        fit(PCA, PCA.Config(latent_dim=31), small_data, epochs=20)


def test_a_linear_autoencoder_approaches_pca_on_its_training_set_and_never_beats_it(fit, small_data: Data) -> None:
    best = training_error(fit(PCA, PCA.Config(latent_dim=4), small_data, epochs=20), small_data)
    learned = training_error(
        fit(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=4, learning_rate=1e-2), small_data, epochs=60),
        small_data,
    )
    assert best <= learned < 1.02 * best


@pytest.mark.full_mnist
def test_pca_and_the_linear_autoencoder_meet_the_published_errors_on_mnist(fit, data_dir: Path, tmp_path: Path) -> None:
    data = MNIST(MNIST.Config()).load(DataSource(data_dir, tmp_path, print))
    x = data.test.all(Noise(0))

    @torch.no_grad()
    def error(model) -> float:
        return float((model.reconstruct(x) - x).double().square().mean())

    for k, published in {2: 0.05567, 10: 0.03407, 32: 0.01683}.items():
        assert error(fit(PCA, PCA.Config(latent_dim=k), data, epochs=20)) == pytest.approx(published, rel=0.01)
    learned = error(fit(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=32), data, epochs=10))
    assert learned == pytest.approx(0.01683, rel=0.02)
