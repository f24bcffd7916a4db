"""Properties of autoencoders and of the convolutions that they share with other models."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness import Data, DataInfo, Noise, NotApplicable
from harness.toolkit import ConvolutionalDecoder, ConvolutionalEncoder
from harness_autoencoders.cnn_ae import CNNAutoencoder
from harness_autoencoders.denoising import DenoisingAutoencoder, DenoisingCNNAutoencoder
from harness_autoencoders.mlp_ae import MLPAutoencoder
from harness_autoencoders.sampling_ae import SamplingAutoencoder
from harness_autoencoders.sparse_ae import SparseAutoencoder

digits = DataInfo(shape=(1, 28, 28), support="unit", mean=torch.zeros(1, 28, 28))
every = [
    MLPAutoencoder,
    CNNAutoencoder,
    SparseAutoencoder,
    DenoisingAutoencoder,
    DenoisingCNNAutoencoder,
    SamplingAutoencoder,
]


def size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("code", [32, 64, 128])
def test_the_convolutional_autoencoder_is_smaller_at_the_same_code_size(code: int) -> None:
    convolutional = CNNAutoencoder(digits, CNNAutoencoder.Config(latent_dim=code))
    connected = MLPAutoencoder(digits, MLPAutoencoder.Config(hidden=(256, code)))
    x = torch.rand(2, 1, 28, 28)
    assert convolutional.encode(x).shape == connected.encode(x).shape == (2, code)
    assert size(convolutional) < size(connected) / 2


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 40),
    st.integers(1, 40),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
)
def test_convolutions_keep_the_size_of_any_image_or_say_that_it_is_too_small(
    channels: int, height: int, width: int, layers: list[int]
) -> None:
    shape = (channels, height, width)
    if min(height, width) < 2 ** len(layers):
        with pytest.raises(NotApplicable, match=f"{height} × {width}"):
            ConvolutionalEncoder(shape, layers, 3)
        with pytest.raises(NotApplicable, match=f"{height} × {width}"):
            ConvolutionalDecoder(3, layers, shape)
    else:
        codes = ConvolutionalEncoder(shape, layers, 3)(torch.rand(2, *shape))
        assert codes.shape == (2, 3)
        assert ConvolutionalDecoder(3, layers, shape)(codes).shape == (2, *shape)


def test_every_pixel_of_an_image_with_odd_sides_is_encoded_and_decoded() -> None:
    # Sides of 2, 3, 5 and so on are rounded down by each halving: an edge could be lost on the way.
    torch.manual_seed(0)
    for side in range(4, 18):
        shape = (1, side, side + 1)
        encoder = ConvolutionalEncoder(shape, (8, 8), 16).double()
        decoder = ConvolutionalDecoder(16, (8, 8), shape).double()
        x = torch.rand(4, *shape, dtype=torch.float64, requires_grad=True)
        (seen,) = torch.autograd.grad(encoder(x).square().sum(), x)
        assert bool((seen != 0).any(0).all()), side
        z = torch.randn(200, 16, dtype=torch.float64)
        assert float(decoder(z).detach().std(0).min()) > 0, side


@pytest.mark.parametrize("shape", [(12,), (3, 4)])
def test_convolutions_refuse_examples_that_are_not_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(NotApplicable, match="model of images"):
        CNNAutoencoder(DataInfo(shape=shape, support="unit", mean=torch.zeros(shape)), CNNAutoencoder.Config())


@pytest.mark.parametrize("model", every)
def test_reconstruction_is_decoding_the_code(model, small_data: Data) -> None:
    torch.manual_seed(0)
    built = model(small_data.info, model.Config()).requires_grad_(False)
    x = small_data.test.all(Noise(0))
    assert built.encode(x).ndim == 2
    assert torch.equal(built.decode(built.encode(x)), built.reconstruct(x))
    assert 0 < float(built.reconstruct(x).min()) < float(built.reconstruct(x).max()) < 1


@pytest.mark.parametrize("model", every)
def test_a_cross_entropy_is_refused_on_real_data_and_a_squared_error_has_a_linear_output(model) -> None:
    info = DataInfo(shape=(1, 6, 5), support="real", mean=torch.zeros(1, 6, 5))
    with pytest.raises(NotApplicable, match="real"):
        model(info, model.Config())
    built = model(info, model.Config(loss="mse")).requires_grad_(False)
    assert float(built.decode(100 * torch.randn(50, *built.encode(torch.randn(1, 1, 6, 5)).shape[1:])).min()) < 0


@pytest.mark.parametrize("criterion", ["bce", "mse"])
@pytest.mark.parametrize("model", [DenoisingAutoencoder, DenoisingCNNAutoencoder])
def test_denoising_trains_on_noisy_input_and_clean_targets(model, criterion: str, small_data: Data) -> None:
    torch.manual_seed(0)
    built = model(small_data.info, model.Config(loss=criterion, sigma=0.5))
    x = small_data.test.all(Noise(0))
    seen = x + 0.5 * Noise(3).normal(*x.shape)
    assert float(seen.max()) > 1  # not clipped
    error = F.binary_cross_entropy if criterion == "bce" else F.mse_loss
    expected = error(built.reconstruct(seen), x, reduction="none").flatten(1).sum(1).mean()
    torch.testing.assert_close(built.loss(x, Noise(3)), expected)


@pytest.mark.parametrize(
    ("denoising", "plain"), [(DenoisingAutoencoder, MLPAutoencoder), (DenoisingCNNAutoencoder, CNNAutoencoder)]
)
def test_denoising_without_noise_is_the_plain_autoencoder(fit, denoising, plain, small_data: Data) -> None:
    once = fit(denoising, denoising.Config(sigma=0.0), small_data, epochs=1).state_dict()
    again = fit(plain, plain.Config(), small_data, epochs=1).state_dict()
    assert all(torch.equal(once[name], again[name]) for name in again)


def test_the_default_noise_has_a_standard_deviation_of_twenty_grey_levels() -> None:
    assert DenoisingAutoencoder.Config().sigma * 255 == pytest.approx(20)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_the_sparse_loss_adds_the_norm_of_the_code_to_a_loss_summed_over_pixels(
    activation: str, small_data: Data
) -> None:
    torch.manual_seed(0)
    config = {"hidden": (7,), "activation": activation}
    built = SparseAutoencoder(small_data.info, SparseAutoencoder.Config(l1=0.3, **config))
    x = small_data.test.all(Noise(0))
    cross_entropy = F.binary_cross_entropy(built.reconstruct(x), x, reduction="none").flatten(1).sum(1).mean()
    expected = cross_entropy + 0.3 * built.encode(x).abs().sum(1).mean()
    torch.testing.assert_close(built.loss(x, Noise(0)), expected)


def test_a_heavier_penalty_makes_a_sparser_code(fit, small_data: Data) -> None:
    x = small_data.test.all(Noise(0))

    def near_zero(l1: float) -> float:
        config = SparseAutoencoder.Config(hidden=(40,), l1=l1)
        code: Tensor = fit(SparseAutoencoder, config, small_data, epochs=20, batch_size=50).encode(x)
        return float((code.abs() <= 0.01).double().mean())

    shares = [near_zero(l1) for l1 in (0.0, 0.1, 1.0)]
    assert shares == sorted(shares)
    assert shares[-1] > shares[0] + 0.2


def test_samples_are_decoded_from_codes_with_the_moments_of_the_validation_images(fit, small_data: Data) -> None:
    model = fit(SamplingAutoencoder, SamplingAutoencoder.Config(latent_dim=3, hidden=(20,)), small_data, epochs=2)
    model.decoder, model.output = torch.nn.Identity(), torch.nn.Identity()
    model.shape = (3,)  # a sample is its code
    drawn = model.sample(100_000, Noise(0)).double()
    codes = model.encode(small_data.validation.all(Noise(0))).double()
    covariance = torch.cov(codes.T, correction=0)
    scale = covariance.diag().sqrt()
    torch.testing.assert_close(drawn.mean(0) / scale, codes.mean(0) / scale, atol=0.02, rtol=0)
    torch.testing.assert_close(
        torch.cov(drawn.T) / scale / scale[:, None], covariance / scale / scale[:, None], atol=0.03, rtol=0
    )


def test_samples_do_not_depend_on_the_signs_of_eigenvectors(small_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SamplingAutoencoder(small_data.info, SamplingAutoencoder.Config(latent_dim=3)).requires_grad_(False)
    model.calibrate(small_data.validation, Noise(0))
    here = model.sample(10, Noise(1))
    usual = torch.linalg.eigh

    def other_signs(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, vectors = usual(matrix)
        return values, vectors * torch.tensor([-1, 1, -1])

    monkeypatch.setattr(torch.linalg, "eigh", other_signs)
    model.calibrate(small_data.validation, Noise(0))
    torch.testing.assert_close(model.sample(10, Noise(1)), here)


def test_a_unit_that_is_the_same_for_all_images_is_the_same_in_all_samples(small_data: Data) -> None:
    model = SamplingAutoencoder(small_data.info, SamplingAutoencoder.Config(latent_dim=3)).requires_grad_(False)
    model.encoder[-1].weight[1] = 0
    model.calibrate(small_data.validation, Noise(0))
    drawn = Noise(0).normal(1000, 3) @ model.code_factor.T
    assert float(drawn.std(0)[1]) == 0
    assert float(drawn.std(0)[[0, 2]].min()) > 0
