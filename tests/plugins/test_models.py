"""What holds for every built-in model."""

import pytest
import torch
from torch import nn

from harness import Data, Noise
from harness.capabilities import Reconstructs, Samples, offers
from harness.plan import choose
from harness.plugins import Registry
from harness.transforms import Binarize, Dequantize

registry = Registry.load()
models = [each.spec.name for each in registry.all("model") if each.plugin.distribution == "generative-harness"]
of_points = {"convae"}
of_images = [name for name in models if name not in of_points]
variants = {
    "grey": lambda data: data,
    "binarized": Binarize(Binarize.Config()).apply,
    "dequantized": Dequantize(Dequantize.Config()).apply,
}


@pytest.fixture
def fitted(fit):
    def fitted(name: str, data: Data, seed: int = 0):
        chosen = choose(registry.get("model", name), {})
        return fit(chosen.factory, chosen.config, data, epochs=2, batch_size=64, seed=seed)

    return fitted


@pytest.fixture
def suited(small_data: Data, small_points: Data):
    return lambda name: small_points if name in of_points else small_data


@pytest.mark.parametrize("variant", variants)
@pytest.mark.parametrize("name", of_images)
def test_a_model_takes_any_image_shape_and_gives_it_back(fitted, small_data: Data, name: str, variant: str) -> None:
    assert_gives_back(fitted(name, data := variants[variant](small_data)), data)


@pytest.mark.parametrize("name", of_points)
def test_a_model_of_points_gives_sets_of_them_back(fitted, small_points: Data, name: str) -> None:
    assert_gives_back(fitted(name, small_points), small_points)


def assert_gives_back(model: nn.Module, data: Data) -> None:
    x = data.test.all(Noise(0))
    with torch.no_grad():
        if offers(model, Reconstructs):
            assert model.reconstruct(x).shape == x.shape
        if offers(model, Samples):
            assert model.sample(7, Noise(0)).shape == (7, *x.shape[1:])


@pytest.mark.parametrize("name", models)
def test_the_same_seed_gives_bit_identical_weights_and_another_seed_others(fitted, suited, name: str) -> None:
    data = suited(name)
    if name in of_images:
        data = Binarize(Binarize.Config()).apply(data)
    once, again, other = (fitted(name, data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert any(not torch.equal(once[key], other[key]) for key in once)


@pytest.mark.parametrize("name", models)
def test_the_state_of_torchs_global_generator_makes_no_difference(fitted, suited, name: str) -> None:
    torch.manual_seed(1)
    once = fitted(name, suited(name)).state_dict()
    torch.rand(17)
    again = fitted(name, suited(name)).state_dict()
    assert all(torch.equal(once[key], again[key]) for key in once)
