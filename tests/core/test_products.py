"""The quicker matrix products give what the usual ones give, gradients and all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from harness import Data
from harness.contracts.objectives import objectives_of
from harness.data.transforms import Binarize
from harness.machine.fast_linear import _Linear, fast_linear, onednn_is_faster
from harness.training.trainer import Trainer
from harness_vae.vae import VAE

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch was built without oneDNN")


@pytest.mark.parametrize("bias", [True, False])
def test_products_and_gradients_agree_with_float64_as_closely_as_the_usual_ones(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((128, 784), (500, 784), (500,)) if bias else ((128, 784), (500, 784))
    exact = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weight = torch.randn(128, 500, generator=generator, dtype=torch.float64)

    def outcomes(linear, tensors) -> list[torch.Tensor]:
        leaves = [each.clone().requires_grad_() for each in tensors]
        out = linear(*leaves, *([] if bias else [None]))
        (out * weight.to(out.dtype)).sum().backward()
        return [out.detach(), *(each.grad for each in leaves)]

    single = [each.float() for each in exact]
    truth = outcomes(F.linear, exact)
    for quick, usual, true in zip(outcomes(_Linear.apply, single), outcomes(F.linear, single), truth, strict=True):
        error, allowed = (quick - true).abs().max(), (usual - true).abs().max()
        assert error <= 4 * allowed + 1e-5


def test_second_derivatives_are_right() -> None:
    wide, w = torch.randn(6, 10, requires_grad=True), torch.randn(4, 5, requires_grad=True)
    x = wide[:, 5:]

    def penalty(linear) -> torch.Tensor:
        (slope,) = torch.autograd.grad(linear(x, w, None).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.square().sum(), w)[0]

    torch.testing.assert_close(penalty(_Linear.apply), penalty(F.linear), rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not onednn_is_faster(), reason="this processor's usual products are the quicker ones")
def test_they_are_taken_for_large_float32_layers_only_and_only_within_the_block() -> None:
    layer, x = torch.nn.Linear(784, 500), torch.randn(128, 784)
    with fast_linear(torch.device("cpu")):
        assert "_Linear" in type(layer(x).grad_fn).__name__
        assert "_Linear" not in type(layer(x[:1]).grad_fn).__name__
        assert "_Linear" not in type(layer.double()(x.double()).grad_fn).__name__
    assert "_Linear" not in type(layer.float()(x).grad_fn).__name__


@pytest.mark.skipif(not onednn_is_faster(), reason="this processor's usual products are the quicker ones")
def test_the_first_fifty_steps_are_those_of_a_float64_loop_without_them(small_data: Data) -> None:
    data = Binarize(Binarize.Config()).apply(small_data)
    draw = data.train.inputs
    exact = replace(data, train=replace(data.train, inputs=lambda stored, noise: draw(stored, noise).double()))
    losses = []
    for each, dtype in ((data, torch.float32), (exact, torch.float64)):
        torch.manual_seed(2)
        model = VAE(data.info, VAE.Config(latent_dim=3, hidden=(600,))).to(dtype)
        trainer = Trainer(model, objectives_of(model, model.config), each.train, 64, seed=0)
        with trainer.computing():
            indices = [index for _ in range(10) for index in trainer.shuffled()]
            losses.append(torch.cat([trainer.step(index) for index in indices]).double())
    assert len(losses[0]) == 50
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=0)
