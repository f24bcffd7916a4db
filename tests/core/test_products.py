"""Linear layers on oneDNN give what torch's own give, gradients included, and only the model at hand has them."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness import Data
from harness.contracts.objectives import objectives_of
from harness.data.transforms import Binarize
from harness.machine.fast_linear import FastLinear, fast_linear
from harness.toolkit import linear
from harness.training.trainer import Trainer
from harness_vae.vae import VAE

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")

cpu = torch.device("cpu")


def by_onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return linear(x, weight, bias, use_onednn=True)


def uses_onednn(y: Tensor) -> bool:
    return "_Linear" in type(y.grad_fn).__name__


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(784, 500), nn.ReLU(), nn.Linear(500, 784))


@pytest.mark.parametrize("bias", [True, False])
def test_products_and_gradients_are_as_close_to_float64_as_those_of_torch(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((128, 784), (500, 784), (500,)) if bias else ((128, 784), (500, 784))
    exact = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weight = torch.randn(128, 500, generator=generator, dtype=torch.float64)

    def outcomes(product: Callable[..., Tensor], tensors: list[Tensor]) -> list[Tensor]:
        leaves = [each.clone().requires_grad_() for each in tensors]
        out = product(*leaves, *([] if bias else [None]))
        (out * weight.to(out.dtype)).sum().backward()
        return [out.detach(), *(each.grad for each in leaves)]

    single = [each.float() for each in exact]
    truth = outcomes(F.linear, exact)
    for ours, theirs, true in zip(outcomes(by_onednn, single), outcomes(F.linear, single), truth, strict=True):
        error, allowed = (ours - true).abs().max(), (theirs - true).abs().max()
        assert error <= 4 * allowed + 1e-5


def test_second_derivatives_are_right() -> None:
    wide, w = torch.randn(128, 1600, requires_grad=True), torch.randn(500, 800, requires_grad=True) / 30
    x = wide[:, 800:]

    def penalty(product: Callable[..., Tensor]) -> Tensor:
        (slope,) = torch.autograd.grad(product(x, w).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), w)[0]

    assert uses_onednn(by_onednn(x, w))
    expected = penalty(F.linear)
    torch.testing.assert_close(penalty(by_onednn), expected, rtol=1e-4, atol=float(1e-5 * expected.abs().max()))


def test_it_is_used_for_large_float32_matrices_in_full_precision_only() -> None:
    x, weight = torch.randn(128, 784), torch.randn(500, 784, requires_grad=True)
    assert uses_onednn(by_onednn(x, weight))
    assert not uses_onednn(by_onednn(x[:1], weight))
    assert not uses_onednn(by_onednn(x.double(), weight.double()))
    with torch.autocast("cpu", torch.bfloat16):
        assert not uses_onednn(by_onednn(x, weight))
    torch.set_float32_matmul_precision("medium")
    try:
        assert not uses_onednn(by_onednn(x, weight))
    finally:
        torch.set_float32_matmul_precision("highest")


def test_only_the_layers_of_the_model_at_hand_are_switched_and_only_within_the_block(model: nn.Module) -> None:
    other, x, own = nn.Linear(784, 500), torch.randn(128, 784), F.linear
    with fast_linear(model, cpu, use_onednn=True):
        assert [type(each) for each in model] == [FastLinear, nn.ReLU, FastLinear]
        assert uses_onednn(model(x))
        assert type(other) is nn.Linear
        assert not uses_onednn(other(x))
        assert F.linear is own
    assert [type(each) for each in model] == [nn.Linear, nn.ReLU, nn.Linear]
    with fast_linear(model, cpu, use_onednn=False):
        assert not uses_onednn(model(x))


def test_a_layer_with_its_own_forward_keeps_it() -> None:
    class Doubling(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- the name in nn.Linear
            return 2 * super().forward(input)

    layer, x = Doubling(784, 500), torch.randn(128, 784)
    expected = layer(x)
    with fast_linear(layer, cpu, use_onednn=True):
        assert torch.equal(layer(x), expected)


def test_copies_pickles_and_states_are_those_of_plain_layers(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    with fast_linear(model, cpu, use_onednn=True):
        copies = copy.deepcopy(model), pickle.loads(pickle.dumps(model))
        state = model.state_dict()
    assert list(state) == list(before)
    for each in copies:
        assert type(each[0]) is nn.Linear
        assert all(torch.equal(value, before[name]) for name, value in each.state_dict().items())


def test_a_model_that_fails_within_the_block_has_its_layers_back(model: nn.Module) -> None:
    with pytest.raises(RuntimeError), fast_linear(model, cpu, use_onednn=True):
        model(torch.zeros(128, 3))
    assert type(model[0]) is nn.Linear


def test_a_layer_that_is_parametrized_within_the_block_stays_so(model: nn.Module) -> None:
    with fast_linear(model, cpu, use_onednn=True):
        nn.utils.parametrizations.weight_norm(model[0])
    assert nn.utils.parametrize.is_parametrized(model[0])
    assert model(torch.randn(128, 784)).shape == (128, 784)


def test_functions_of_torch_func_and_a_disabled_onednn_use_the_products_of_torch(model: nn.Module) -> None:
    x = torch.randn(128, 784)
    expected = model(x)
    with fast_linear(model, cpu, use_onednn=True):
        several = torch.func.vmap(model)(torch.stack([x, x]))
        torch.testing.assert_close(several, torch.stack([expected, expected]), rtol=1e-4, atol=1e-5)
        before = torch.backends.mkldnn.enabled
        torch.backends.mkldnn.enabled = False
        try:
            assert not uses_onednn(model(x))
        finally:
            torch.backends.mkldnn.enabled = before


def test_the_first_fifty_steps_are_those_of_float64_steps(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    draw = data.train.inputs
    exact = replace(data, train=replace(data.train, inputs=lambda stored, noise: draw(stored, noise).double()))
    losses = []
    for each, dtype in ((data, torch.float32), (exact, torch.float64)):
        torch.manual_seed(2)
        model = VAE(data.info, VAE.Config(latent_dim=3, hidden=(600,))).to(dtype)
        trainer = Trainer(model, objectives_of(model, model.config), each.train, 64, seed=0, use_onednn=True)
        with trainer.computing():
            assert dtype == torch.float64 or any(type(module) is FastLinear for module in model.modules())
            indices = [index for _ in range(10) for index in trainer.shuffled()]
            losses.append(torch.cat([trainer.step(index) for index in indices]).double())
    assert len(losses[0]) == 50
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=0)
