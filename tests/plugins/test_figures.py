"""Figures show what they are meant to show."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torch.distributions import Independent, Normal

from harness import Data, Examples, FigureContext, Noise, NotApplicable
from harness.contracts.curves import Curves
from harness.data.transforms import Binarize
from harness.planning.budget import Budget
from harness.training.fit import fit_seed, fit_seeds
from harness.training.recipe import Callbacks, Recipe
from harness_figures.canvas import draw_rows
from harness_figures.curves import TrainingCurves
from harness_figures.latent import Interpolation, Manifold
from harness_figures.samples import SampleGrid, SamplesInTraining
from harness_gan.gan import GAN
from harness_vae.iwae import IWAE
from harness_vae.vae import VAE


def like(shape: tuple[int, ...], support: str = "unit", n: int = 2) -> Data:
    least = -1 if support == "real" else 0
    one = Examples(torch.linspace(least, 1, n).view(-1, *[1] * len(shape)).expand(n, *shape).contiguous())
    return Data.from_tensors(one, one, one, support=support)


def pixels(figure: Figure) -> np.ndarray:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return np.asarray(Image.open(buffer).convert("RGB")).astype(float) / 255


def context(**given) -> FigureContext:
    return FigureContext(**{"config": None, "curves": Curves(), "snapshots": {}, "noise": Noise(0)} | given)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tile_has_the_colour_and_position_of_its_image(channels: int) -> None:
    shades = torch.tensor([[0.0, 0.2, 0.4], [0.6, 0.8, 1.0]])
    rows = [("", shade.view(3, 1, 1, 1).expand(3, channels, 28, 28)) for shade in shades]
    drawn = pixels(draw_rows(rows, like((channels, 28, 28))))
    height, width, _ = drawn.shape
    for i, j in np.ndindex(2, 3):
        seen = drawn[int(height * (i + 0.5) / 2), int(width * (j + 0.5) / 3)]
        assert seen == pytest.approx(float(shades[i, j]), abs=0.01), (i, j)


def test_the_brightness_of_an_image_does_not_depend_on_its_neighbours() -> None:
    clean, far_out = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, 28, 28), torch.full((2, 1, 28, 28), 5.0)
    drawn = pixels(draw_rows([("", far_out), ("", clean)], like((1, 28, 28))))
    height, width, _ = drawn.shape
    seen = [float(drawn[height * 3 // 4, width * (2 * j + 1) // 4].mean()) for j in range(2)]
    assert seen == pytest.approx([0, 1], abs=0.01)


def test_unbounded_values_are_drawn_on_the_scale_of_the_test_examples() -> None:
    middle = torch.tensor([0.0, 0.95]).view(2, 1, 1, 1).expand(2, 1, 28, 28)
    drawn = pixels(draw_rows([("", middle)], like((1, 28, 28), "real")))
    height, width, _ = drawn.shape
    seen = [float(drawn[height // 2, width * (2 * j + 1) // 4].mean()) for j in range(2)]
    assert seen == pytest.approx([0.5, 0.975], abs=0.01)


def test_a_tile_has_the_aspect_ratio_of_its_image() -> None:
    rows = [("", torch.zeros(4, 3, 16, 64))] * 8
    height, width, _ = pixels(draw_rows(rows, like((3, 16, 64)))).shape
    assert height / width == pytest.approx(8 * 16 / (4 * 64), rel=0.1)


def test_points_are_drawn_at_their_position_with_their_intensity() -> None:
    left_top, right_bottom = [0.1, 0.1, 1.0], [0.9, 0.9, 1.0]
    sets = torch.tensor([[left_top] * 5, [right_bottom] * 5]).transpose(1, 2).unsqueeze(1)  # (2, 1, 3, 5)
    drawn = pixels(draw_rows([("", sets)], like((1, 3, 5), "points"), tile=2))
    width = drawn.shape[1]
    first, second = drawn[:, : width // 2].sum(2), drawn[:, width // 2 :].sum(2)
    for tile, middle in ((first, (0.146, 0.146)), (second, (0.854, 0.854))):
        inside = tile[10:-10, 12:-12]
        bright = np.argwhere(inside > 1).mean(0) + np.array([10, 12])
        assert bright / tile.shape == pytest.approx(middle, abs=0.03)


def test_vectors_are_not_drawn_as_pictures() -> None:
    with pytest.raises(NotApplicable, match="neither images nor point sets"):
        draw_rows([("", torch.zeros(2, 7))], like((7,)))


class Plane:
    """Decodes a code to an image that has its two numbers as pixels."""

    def __init__(self) -> None:
        self.decoded: list[Tensor] = []

    def prior(self) -> Independent:
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def decode(self, z: Tensor) -> Tensor:
        self.decoded.append(z)
        return z.view(-1, 1, 1, 2)


def test_the_manifold_takes_equal_steps_of_probability(small_data: Data) -> None:
    model = Plane()
    Manifold().draw(model, small_data, context())
    (codes,) = model.decoded
    share = Normal(0, 1).cdf(codes).view(15, 15, 2)
    expected = (torch.arange(15) + 0.5) / 15
    torch.testing.assert_close(share[0, :, 0], expected)  # to the right
    torch.testing.assert_close(share[:, 0, 1], expected.flip(0))  # up


def test_an_interpolation_is_a_straight_path_between_two_draws_from_the_prior(small_data: Data) -> None:
    model = Plane()
    Interpolation().draw(model, small_data, context())
    paths = model.decoded[0].view(10, 5, 2)
    steps = paths.diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand_as(steps))
    ends = torch.cat([paths[0], paths[-1]])
    torch.testing.assert_close(ends, Noise(0).normal(10, 2))


class Codes:
    """An autoencoder of images of thirty values."""

    def encode(self, x: Tensor) -> Tensor:
        return x.flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        return z.view(-1, 1, 6, 5)


@pytest.mark.parametrize(("n", "paths"), [(2, 1), (7, 3), (50, 5)])
def test_an_interpolation_has_a_row_for_each_pair_of_examples(n: int, paths: int) -> None:
    figure = Interpolation().draw(Codes(), like((1, 6, 5), n=n), context())
    assert len(figure.axes[0].get_yticks()) == paths
    with pytest.raises(NotApplicable, match="at least two test examples"):
        Interpolation().draw(Codes(), like((1, 6, 5), n=1), context())


def test_samples_in_training_come_from_the_same_latent_points(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    recipe = Recipe(VAE, VAE.Config(latent_dim=2, hidden=(8,)), data, Budget(epochs=5, batch_size=50))
    fitted = fit_seed(recipe, 3, Callbacks(snapshots=4))
    assert list(fitted.snapshots) == [1, 3, 5]
    again = fit_seed(recipe, 3, Callbacks(snapshots=4))
    for epoch, samples in fitted.snapshots.items():
        assert samples.shape == (4, 1, 6, 5)
        assert torch.equal(samples, again.snapshots[epoch])
    figure = SamplesInTraining().draw(fitted.model, data, context(snapshots=fitted.snapshots))
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["epoch 1", "epoch 3", "epoch 5"]


@pytest.mark.parametrize("vectorized", [False, True])
def test_keeping_samples_changes_no_weights(small_data: Data, vectorized: bool) -> None:
    config = GAN.Config(latent_dim=2, generator=(8, 8), discriminator=(8,), collapse_fraction=0.0)
    recipe = Recipe(GAN, config, small_data, Budget(epochs=3, batch_size=50))
    for with_samples, without in zip(
        fit_seeds(recipe, (0, 1), vectorized=vectorized, callbacks=Callbacks(snapshots=5)),
        fit_seeds(recipe, (0, 1), vectorized=vectorized),
        strict=True,
    ):
        assert len(with_samples.snapshots) == 3
        assert without.snapshots == {}
        assert with_samples.curves.train == without.curves.train
        for key, value in with_samples.model.state_dict().items():
            assert torch.equal(value, without.model.state_dict()[key]), key


def test_a_failure_to_draw_samples_is_announced_and_training_continues(small_data: Data) -> None:
    class Mute(VAE):
        def sample(self, n: int, noise: Noise) -> Tensor:
            raise LookupError("no words")

    announced: list[str] = []
    recipe = Recipe(Mute, VAE.Config(latent_dim=2, hidden=(8,)), small_data, Budget(epochs=1))
    fitted = fit_seed(recipe, 0, Callbacks(snapshots=4, announce=announced.append))
    assert fitted.error is None
    assert announced == ["no samples could be drawn in epoch 1: no words"]


def test_curves_show_every_objective_with_its_landmark_and_the_bound(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    iwae = Recipe(IWAE, IWAE.Config(latent_dim=2, hidden=(8,), k=3), data, Budget(epochs=3))
    gan = Recipe(
        GAN,
        GAN.Config(latent_dim=2, generator=(8, 8), discriminator=(8,), collapse_fraction=0.0),
        data,
        Budget(epochs=3),
    )
    for recipe, names in ((iwae, ["negative k-sample bound", "negative ELBO"]), (gan, ["generator", "discriminator"])):
        fitted = fit_seed(recipe, 0)
        figure = TrainingCurves().draw(fitted.model, data, context(config=recipe.config, curves=fitted.curves))
        assert [axes.get_title() for axes in figure.axes] == names
        for axes, name in zip(figure.axes, names, strict=True):
            lines = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
            assert lines.pop("training") == fitted.curves.train[name]
            assert lines.pop("validation") == fitted.curves.validation[name]
            assert list(lines) == (["equilibrium, −V = log 4"] if name == "discriminator" else [])


def test_samples_of_vectors_are_plotted_beside_test_examples() -> None:
    class Plain:
        def sample(self, n: int, noise: Noise) -> Tensor:
            return noise.normal(n, 3)

    data = Data.from_tensors(*(Examples(Noise(seed).normal(50, 3)) for seed in range(3)))
    figure = SampleGrid().draw(Plain(), data, context())
    test, samples = (axes.collections[0].get_offsets() for axes in figure.axes)
    np.testing.assert_allclose(test, Noise(2).normal(50, 3)[:, :2].numpy())
    np.testing.assert_allclose(samples, Noise(0).normal(50, 3)[:, :2].numpy())
