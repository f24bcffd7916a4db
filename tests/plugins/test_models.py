"""Properties of every built-in model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from stored_results import described_fit

from harness import Data, Noise, NotApplicable
from harness.contracts.models import HasDensity, Reconstructs, Samples, offers
from harness.planning.component import Component, config_type_of, resolve_component
from harness.registry import Registry
from harness.results.store import Store
from harness.settings import missing

registry = Registry.load()
models = [
    each.spec.name
    for each in registry.all("model")
    if each.plugin.distribution == "generative-harness" and not missing(config_type_of(each), ())
]
# Ten steps are too few for the running statistics of batch norm, so that samples hardly vary yet.
settings = {"dcgan": {"collapse_fraction": "0"}}


def component_of(name: str) -> Component:
    return resolve_component(registry.get("model", name), settings.get(name, {}))


@pytest.fixture
def fitted(fit):
    def fitted(component: Component, data: Data, seed: int = 0):
        return fit(component.factory, component.config, data, epochs=2, batch_size=64, seed=seed)

    return fitted


@pytest.mark.parametrize("kind", ["grey", "binarized", "dequantized", "colour", "points", "vectors"])
@pytest.mark.parametrize("name", models)
def test_a_model_works_on_a_kind_of_data_or_says_why_not(
    fitted, small_kinds: dict[str, Data], name: str, kind: str
) -> None:
    component, data = component_of(name), small_kinds[kind]
    try:
        component.factory(data.info, component.config)
    except NotApplicable as reason:
        assert len(str(reason).split()) > 3
        return
    model = fitted(component, data)
    x = data.test.all(Noise(0))
    with torch.no_grad():
        if offers(model, Reconstructs):
            assert model.reconstruct(x).shape == x.shape
        if offers(model, Samples):
            samples = model.sample(7, Noise(0))
            assert samples.shape == (7, *x.shape[1:])
            assert samples.isfinite().all()
        if offers(model, HasDensity):
            assert model.log_prob(x).shape == (len(x),)


@pytest.mark.parametrize("name", models)
def test_the_same_seed_gives_bit_identical_weights_and_another_seed_others(fitted, suited, name: str) -> None:
    component = component_of(name)
    data = suited(component)
    torch.manual_seed(1)
    once = fitted(component, data).state_dict()
    torch.rand(17)  # the state of torch's global generator makes no difference
    again, other = (fitted(component, data, seed).state_dict() for seed in (0, 1))
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert any(not torch.equal(once[key], other[key]) for key in once)


@pytest.mark.parametrize("name", models)
def test_stored_weights_give_identical_outputs(fitted, suited, tmp_path: Path, name: str) -> None:
    component, store = component_of(name), Store(tmp_path)
    data = suited(component)
    model = fitted(component, data)
    store.write_fit("key", described_fit(), model.state_dict())
    loaded = component.factory(data.info, component.config)
    loaded.load_state_dict(store.weights("key"))
    loaded.eval()
    x = data.test.all(Noise(0))
    with torch.no_grad():
        if offers(model, Samples):
            assert torch.equal(model.sample(7, Noise(0)), loaded.sample(7, Noise(0)))
        if offers(model, Reconstructs):
            assert torch.equal(model.reconstruct(x), loaded.reconstruct(x))
