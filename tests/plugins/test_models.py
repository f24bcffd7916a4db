"""What holds for every built-in model."""

import pytest
import torch

from harness import Data, Noise, NotApplicable
from harness.capabilities import Reconstructs, Samples, offers
from harness.plan import choose
from harness.plugins import Registry
from harness.transforms import Binarize, Dequantize

registry = Registry.load()
models = [each.spec.name for each in registry.all("model") if each.plugin.distribution == "generative-harness"]
variants = {
    "grey": lambda data: data,
    "binarized": Binarize(Binarize.Config()).apply,
    "dequantized": Dequantize(Dequantize.Config()).apply,
}
# Ten steps are too few for the running statistics of batch norm, so that samples hardly vary yet.
settings = {"dcgan": {"collapse_fraction": "0"}}


@pytest.fixture
def fitted(fit):
    def fitted(name: str, data: Data, seed: int = 0):
        chosen = choose(registry.get("model", name), settings.get(name, {}))
        try:
            chosen.factory(data.info, chosen.config)
        except NotApplicable as reason:
            pytest.skip(f"n/a: {reason}")
        return fit(chosen.factory, chosen.config, data, epochs=2, batch_size=64, seed=seed)

    return fitted


@pytest.mark.parametrize("variant", variants)
@pytest.mark.parametrize("name", models)
def test_a_model_takes_any_image_shape_and_gives_it_back(fitted, small_data: Data, name: str, variant: str) -> None:
    data = variants[variant](small_data)
    model = fitted(name, data)
    x = data.test.all(Noise(0))
    with torch.no_grad():
        if offers(model, Reconstructs):
            assert model.reconstruct(x).shape == x.shape
        if offers(model, Samples):
            assert model.sample(7, Noise(0)).shape == (7, *x.shape[1:])


@pytest.mark.parametrize("name", models)
def test_the_same_seed_gives_bit_identical_weights_and_another_seed_others(fitted, small_data: Data, name: str) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    once, again, other = (fitted(name, data, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert any(not torch.equal(once[key], other[key]) for key in once)


@pytest.mark.parametrize("name", models)
def test_the_state_of_torchs_global_generator_makes_no_difference(fitted, small_data: Data, name: str) -> None:
    data = Dequantize(Dequantize.Config()).apply(small_data)
    torch.manual_seed(1)
    once = fitted(name, data).state_dict()
    torch.rand(17)
    again = fitted(name, data).state_dict()
    assert all(torch.equal(once[key], again[key]) for key in once)
