"""What is known exactly of linear models."""

from pathlib import Path

import pytest
import torch

from harness import Data, DataSource, Noise, NoSettings, NotApplicable
from harness.training import Curves, fit_model
from harness_datasets.idx import MNIST
from harness_linear.linear_ae import LinearAutoencoder
from harness_linear.pca import PCA


def fitted(factory, config, data: Data, epochs: int = 20):
    return fit_model(
        factory, config, data, seed=0, epochs=epochs, batch_size=128, curves=Curves(), on_epoch=lambda *_: None
    )


@torch.no_grad()
def training_error(model, data: Data) -> float:
    x = data.train.all(Noise(0))
    return float((model.reconstruct(x) - x).double().square().mean())


def test_pca_is_the_truncated_singular_value_decomposition(small_data: Data) -> None:
    model = fitted(PCA, PCA.Config(latent_dim=4), small_data)
    x = small_data.train.all(Noise(0)).flatten(1).double()
    centred = x - x.mean(0)
    _, s, _ = torch.linalg.svd(centred, full_matrices=False)
    assert training_error(model, small_data) == pytest.approx(float(s[4:].square().sum()) / x.numel(), rel=1e-5)


def test_pca_with_all_components_reconstructs_exactly(small_data: Data) -> None:
    model = fitted(PCA, PCA.Config(latent_dim=30), small_data)
    assert training_error(model, small_data) < 1e-10


def test_pca_refuses_more_components_than_there_are_values(small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="30 values"):
        fitted(PCA, PCA.Config(latent_dim=31), small_data)


def test_a_linear_autoencoder_approaches_pca_on_its_training_set_and_never_beats_it(small_data: Data) -> None:
    best = training_error(fitted(PCA, PCA.Config(latent_dim=4), small_data), small_data)
    learned = training_error(
        fitted(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=4, learning_rate=1e-2), small_data, 60),
        small_data,
    )
    assert best <= learned < 1.02 * best


@pytest.mark.full_mnist
def test_pca_and_the_linear_autoencoder_meet_the_published_errors_on_mnist(data_dir: Path, tmp_path: Path) -> None:
    data = MNIST(NoSettings()).load(DataSource(data_dir, tmp_path, print))
    x = data.test.all(Noise(0))

    @torch.no_grad()
    def error(model) -> float:
        return float((model.reconstruct(x) - x).double().square().mean())

    for k, published in {2: 0.05567, 10: 0.03407, 32: 0.01683}.items():
        assert error(fitted(PCA, PCA.Config(latent_dim=k), data)) == pytest.approx(published, rel=0.01)
    learned = error(fitted(LinearAutoencoder, LinearAutoencoder.Config(latent_dim=32), data, epochs=10))
    assert learned == pytest.approx(0.01683, rel=0.02)
