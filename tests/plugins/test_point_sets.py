"""The model of point sets, its metric, and the superpixels of MNIST."""

from pathlib import Path

import pytest
import torch
from torch import nn

from harness import (
    Context,
    Data,
    DataError,
    DataInfo,
    DataSource,
    Examples,
    HasObservationModel,
    Noise,
    NoSettings,
    NotApplicable,
)
from harness.contracts.models import Reconstructs, Samples, lacking, offers
from harness.data.source import untracked
from harness.toolkit import CouplingLayers, chamfer
from harness_autoencoders.mlp_ae import MLPAutoencoder
from harness_datasets.idx import MNIST
from harness_datasets.mnist_10k import MNIST10k
from harness_datasets.superpixels import MNISTSuperpixels, brightest, points_of, superpixels
from harness_figures.canvas import require_drawable
from harness_metrics.likelihood.elbo import ELBO
from harness_metrics.quality.point_sets import MinimumMatchingDistance
from harness_metrics.reconstruction.chamfer import Chamfer
from harness_metrics.reconstruction.errors import ReconstructionBCE, ReconstructionMSE
from harness_vae.convae import ConVAE, FlowConVAE
from harness_vae.vae import VAE


def points_info(points: int, features: int = 3) -> DataInfo:
    shape = (1, features, points)
    return DataInfo(shape, "points", torch.zeros(shape))


def size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shapes_through(layers: nn.Sequential, x: torch.Tensor) -> list[tuple[int, ...]]:
    """Return the shapes of an example after each layer, activations left out."""
    shapes = []
    for layer in layers:
        x = layer(x)
        if not isinstance(layer, nn.ReLU | nn.Sigmoid):
            shapes.append(tuple(x.shape[1:]))
    return shapes


def test_convae_has_the_layer_sizes_in_its_docstring() -> None:
    model = ConVAE(points_info(25), ConVAE.Config())
    seen = [(16, 1, 23), (32, 1, 21), (64, 1, 19), (1216,), (1500,)]
    assert shapes_through(model.encoder, torch.rand(2, 1, 3, 25)) == seen
    seen = [(1500,), (1216,), (64, 1, 19), (32, 1, 21), (16, 1, 23), (1, 3, 25)]
    assert shapes_through(model.decoder, torch.randn(2, 10)) == seen
    convolutions = (16 * 15 + 16) + (32 * 16 * 5 + 32) + (64 * 32 * 5 + 64)
    transposed = (64 * 32 * 5 + 32) + (32 * 16 * 5 + 16) + (16 * 15 + 1)
    assert size(model.encoder) == convolutions + 1216 * 1500 + 1500
    assert size(model.posterior_head) == 1500 * 20 + 20
    assert size(model.decoder) == (10 * 1500 + 1500) + (1500 * 1216 + 1216) + transposed


def test_the_loss_is_the_distance_in_pixels_summed_over_points_plus_beta_times_the_divergence(
    small_points: Data,
) -> None:
    x = small_points.test.all(Noise(0))
    for kind in ("third-axis", "position-intensity"):
        losses = {}
        for beta in (0.0, 0.5):
            torch.manual_seed(0)
            model = ConVAE(small_points.info, ConVAE.Config(loss=kind, beta=beta, dense=20))
            losses[beta] = model.loss(x, Noise(1))
        posterior = model.posterior(x)
        z = posterior.mean + posterior.stddev * Noise(1).normal(*posterior.mean.shape)
        distance = 27**2 * chamfer(x.squeeze(1), model.decode(z).squeeze(1), kind).mean()
        mean, variance = posterior.mean, posterior.stddev.square()
        divergence = 0.5 * (variance + mean.square() - 1 - variance.log()).sum(1).mean()
        torch.testing.assert_close(losses[0.0], distance)
        torch.testing.assert_close(losses[0.5], distance + 0.5 * divergence)


def test_training_lowers_the_chamfer_distance(fit, small_points: Data) -> None:
    config = ConVAE.Config(dense=50, channels=(8, 8))
    measured = []
    for epochs in (1, 20):
        model = fit(ConVAE, config, small_points, epochs=epochs, batch_size=50)
        with torch.no_grad():
            measured.append(measure(Chamfer(Chamfer.Config()), model, small_points).value)
    assert measured[1] < 0.8 * measured[0]


@pytest.mark.parametrize("points", [7, 10, 75])
def test_convae_takes_any_number_of_points_from_seven_on(points: int) -> None:
    model = ConVAE(points_info(points), ConVAE.Config(dense=30))
    x = torch.rand(5, 1, 3, points)
    assert model.reconstruct(x).shape == model.sample(5, Noise(0)).shape == x.shape


def test_convae_refuses_other_data_and_image_models_refuse_point_sets(small_data: Data) -> None:
    for model, info, reason in (
        (ConVAE, small_data.info, "model of point sets, and the data is unit"),
        (ConVAE, points_info(6), "more than 6 points, not 6"),
        (ConVAE, points_info(25, features=2), "2 features"),
        (VAE, points_info(25), "the examples are sets of points"),
        (MLPAutoencoder, points_info(25), "sets of points|points"),
    ):
        with pytest.raises(NotApplicable, match=reason):
            model(info, getattr(model, "Config", NoSettings)())


def test_coupling_layers_are_a_bijection_with_the_jacobian_that_they_state() -> None:
    torch.manual_seed(0)
    layers = CouplingLayers((3, 2), 5, (8,)).double()
    for parameter in layers.parameters():
        nn.init.normal_(parameter, std=0.5)
    y = torch.randn(4, 5, dtype=torch.float64)
    z, log_determinant = layers.transform(y, torch.zeros(4, dtype=torch.float64))
    assert torch.allclose(layers.invert(z), y, atol=1e-10)
    for each, stated in zip(y, log_determinant, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda one: layers.transform(one[None], torch.zeros(1, dtype=torch.float64))[0][0], each
        )
        assert torch.allclose(jacobian.slogdet().logabsdet, stated, atol=1e-10)


def test_a_flow_of_codes_leaves_encoder_and_decoder_as_they_are_and_draws_codes_like_those_of_the_data(
    fit, small_points: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"dense": 50, "channels": (8, 8), "beta": 0.001, "latent_dim": 3}
    plain = fit(ConVAE, ConVAE.Config(**config), small_points, epochs=20, batch_size=50)
    flow = fit(FlowConVAE, FlowConVAE.Config(**config, flow_hidden=(32,)), small_points, epochs=20, batch_size=50)
    trained = flow.state_dict()
    assert all(torch.equal(trained[name], weights) for name, weights in plain.state_dict().items())
    with torch.no_grad():
        posterior = flow.posterior(small_points.train.all(Noise(1)))
        codes = posterior.mean + posterior.stddev * torch.randn_like(posterior.mean)
        monkeypatch.setattr(flow, "decode", lambda z: z)
        drawn = flow.sample(2000, Noise(2))
        of_codes, of_prior, of_drawn = (moments(each) for each in (codes, torch.randn(2000, 3), drawn))
    assert (of_drawn - of_codes).norm() < 0.5 * (of_prior - of_codes).norm()


def moments(codes: torch.Tensor) -> torch.Tensor:
    return torch.cat([codes.mean(0), codes.T.cov().flatten()])


def test_a_flow_of_codes_needs_two_dimensions() -> None:
    with pytest.raises(NotApplicable, match="at least two latent dimensions"):
        FlowConVAE(points_info(25), FlowConVAE.Config(latent_dim=1))


def test_convae_has_no_likelihood_and_so_no_bound() -> None:
    assert not offers(ConVAE, HasObservationModel)
    assert lacking(ConVAE, ELBO.needs) == "it has no observation model"
    assert offers(ConVAE, Reconstructs)
    assert offers(ConVAE, Samples)


def measure(metric, model, data: Data):
    return metric.measure(model, data, Context(Noise(0), None, None, 0))


class Reorders:
    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return x.flip(3)


class Shifts:
    def reconstruct(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.tensor([0, 0, 1e-3]).view(3, 1)


def test_the_metric_is_blind_to_order_and_counts_both_ways(small_points: Data) -> None:
    for kind in ("third-axis", "position-intensity"):
        metric = Chamfer(Chamfer.Config(kind=kind))
        assert measure(metric, Reorders(), small_points).value == 0
        estimate = measure(metric, Shifts(), small_points)
        assert estimate.value == pytest.approx(2 * 25 * 1e-6, rel=1e-3)
        assert estimate.n == len(small_points.test)
        assert estimate.measure


def test_metrics_refuse_data_that_they_cannot_compare(small_points: Data, small_data: Data) -> None:
    with pytest.raises(NotApplicable, match="compares sets of points, and the data is unit"):
        measure(Chamfer(Chamfer.Config()), Reorders(), small_data)
    with pytest.raises(NotApplicable, match="order of points means nothing"):
        measure(ReconstructionMSE(ReconstructionMSE.Config()), Reorders(), small_points)
    flat = Examples(torch.rand(6, 1, 2, 30))  # 60 numbers, as many as 20 points (x, y, intensity) have
    of_two_features = Data.from_tensors(flat, flat, flat, support="points")
    for metric in (Chamfer(Chamfer.Config()), MinimumMatchingDistance(MinimumMatchingDistance.Config())):
        with pytest.raises(NotApplicable, match=r"points \(x, y, intensity\), and these have 2 features"):
            measure(metric, Reorders(), of_two_features)
    with pytest.raises(NotApplicable, match="draws points"):
        require_drawable(of_two_features.info)
    with pytest.raises(NotApplicable, match="this is points"):
        measure(ReconstructionBCE(ReconstructionBCE.Config()), Reorders(), small_points)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return MNIST10k(NoSettings()).load(DataSource(None, tmp_path_factory.mktemp("cache"), print))


def test_a_superpixel_is_the_mean_position_and_intensity_of_its_pixels() -> None:
    image = torch.zeros(28, 28, dtype=torch.float64)
    image[4, 22] = 1
    image[20:23, 10:13] = 0.5
    columns, rows, intensities = torch.from_numpy(points_of(image.numpy(), 784, 0.25))  # a superpixel for each pixel
    assert len(columns) == 784
    assert (columns[0].item() * 27, rows[0].item() * 27, intensities[0]) == (pytest.approx(22), pytest.approx(4), 1)
    assert (columns[1:10].mean().item() * 27, rows[1:10].mean().item() * 27) == (pytest.approx(11), pytest.approx(21))
    assert set(intensities[1:10].tolist()) == {0.5}
    assert set(intensities[10:].tolist()) == {0.0}


def test_superpixels_lie_in_the_image_brightest_first_and_keep_its_brightness(digits: Data) -> None:
    for image in digits.test.stored[:20]:
        pixels = image[0].double() / 255
        points = torch.from_numpy(points_of(pixels.numpy(), 75, 0.25))
        assert 60 <= points.shape[1] <= 90
        assert bool(((points >= 0) & (points <= 1)).all())
        assert bool((points[2].diff() <= 0).all())
        assert points[2].max() <= pixels.max()
        assert 0.5 < points[2].mean() / pixels.mean() < 2


def test_only_points_with_ink_are_kept_and_repeated_if_too_few() -> None:
    intensity = torch.tensor([[0.9, 0.5, 0.1], [0.8, 0.2, 0.0], [0.0, 0.0, 0.0]])
    sets = torch.stack([torch.arange(3.0).expand(3, 3), torch.zeros(3, 3), intensity], 1)
    assert brightest(sets, 2)[:, 0].tolist() == [[0, 1], [0, 1], [0, 0]]
    assert brightest(sets, 5)[:, 0].tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]]


class SmallMNIST(MNIST):
    training_images, validation_images, test_images = 60, 10, 20


class SmallSuperpixels(MNISTSuperpixels):
    images = SmallMNIST


def header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + b"".join(n.to_bytes(4, "big") for n in shape)


@pytest.fixture
def small_mnist(digits: Data, tmp_path: Path) -> Path:
    """Return a folder with the files of ``SmallMNIST``."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, split, n in (("train", digits.train, 60), ("t10k", digits.test, 20)):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(header(n, 28, 28) + split.stored[:n].numpy().tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(header(n) + bytes(split.labels[:n].tolist()))
    return tmp_path / "data"


def test_superpixels_are_found_once_for_every_number_of_points_and_every_digit(
    small_mnist: Path, digits: Data, tmp_path: Path
) -> None:
    announced: list[str] = []
    tracked: list[int] = []

    def track(items, doing, total):
        tracked.append(total)
        return items

    def load(**settings) -> Data:
        source = DataSource(small_mnist, tmp_path / "cache", announced.append, track)
        return SmallSuperpixels(MNISTSuperpixels.Config(**settings)).load(source)

    data = load()
    assert [len(split) for split in data.splits.values()] == [50, 10, 20]
    assert (data.info.shape, data.info.support, data.info.classes) == ((1, 3, 25), "points", 10)
    assert torch.equal(data.validation.labels, digits.train.labels[50:60])
    assert data.validation.ids.tolist() == list(range(50, 60))
    own = points_of(digits.test.stored[3, 0].numpy() / 255, 75, 0.25)
    assert torch.equal(data.test.stored[3, 0], brightest(torch.from_numpy(own)[None], 25)[0])

    assert all(torch.equal(load().splits[name].stored, split.stored) for name, split in data.splits.items())
    fewer = load(points=10)
    assert torch.equal(fewer.train.stored, data.train.stored[..., :10])
    digit = int(data.train.labels[0])
    only = load(digit=digit)
    chosen = data.train.labels == digit
    assert torch.equal(only.train.stored, data.train.stored[chosen])
    assert torch.equal(only.train.ids, data.train.ids[chosen])
    assert announced == ["finding the superpixels of 80 images, once"]
    assert tracked == [1]


def test_superpixels_do_not_depend_on_the_size_of_a_chunk(digits: Data) -> None:
    images = digits.test.stored[:5]
    sets = superpixels(images, 75, 0.25, untracked, chunk=3)
    for image, points in zip(images, sets, strict=True):
        alone = torch.from_numpy(points_of(image[0].numpy() / 255, 75, 0.25))
        assert torch.equal(points[:, : alone.shape[1]], alone)
        assert not points[:, alone.shape[1] :].any()


def test_superpixels_of_a_missing_mnist_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no MNIST in the data folder"):
        MNISTSuperpixels(MNISTSuperpixels.Config()).load(DataSource(tmp_path, tmp_path / "cache", print))
