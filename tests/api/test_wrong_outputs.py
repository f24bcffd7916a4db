"""What a model returns that its contract does not allow is an error that names the model, the method and the remedy."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal

import harness

small = {"ppca-toy.train": 128, "ppca-toy.validation": 32, "ppca-toy.test": 32}


class Linear(nn.Module):
    """A right model of ten values, for classes with a mistake to derive from."""

    def __init__(self, info: Any = None, config: Any = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 2, generator=torch.Generator().manual_seed(0)))

    def reconstruct(self, x: Tensor) -> Any:
        return x @ self.weight @ self.weight.T

    def log_prob(self, x: Tensor) -> Tensor:
        return -x.square().sum(1)

    def posterior(self, x: Tensor) -> Any:
        return Independent(Normal(x @ self.weight, 1.0), 1)

    def prior(self) -> Distribution:
        return Independent(Normal(torch.zeros(2), 1.0), 1)

    def observation(self, z: Tensor) -> Distribution:
        return Independent(Normal(z @ self.weight.T, 1.0), 1)

    def loss(self, x: Tensor, noise: harness.Noise) -> Any:
        return (self.reconstruct(x) - x).square().mean()


class OneValue(Linear):
    def reconstruct(self, x: Tensor) -> Any:
        return super().reconstruct(x).mean(1, keepdim=True)  # is broadcast against x


class Pair(Linear):
    def reconstruct(self, x: Tensor) -> Any:
        return super().reconstruct(x), None


class DensityOfValues(Linear):
    def log_prob(self, x: Tensor) -> Tensor:
        return -x.square()


class CodesApart(Linear):
    def posterior(self, x: Tensor) -> Any:
        return Normal(x @ self.weight, 1.0)


class Parameters(Linear):
    def posterior(self, x: Tensor) -> Any:
        return x @ self.weight, torch.ones(len(x), 2)


class FirstValue(Linear):
    def observation(self, z: Tensor) -> Distribution:
        return Independent(Normal((z @ self.weight.T)[:, :1], 1.0), 1)  # is broadcast against x


class BoundOfBatch(Linear):
    def elbo_terms(self, x: Tensor, noise: harness.Noise) -> dict[str, Tensor]:
        return {"likelihood": -x.square().mean()}


def record_of(model: nn.Module, metric: str) -> harness.Record:
    (found,) = harness.evaluate(model, "ppca-toy", [metric], settings=small, quiet=True)
    return found


@pytest.mark.parametrize(
    ("model", "metric", "problem"),
    [
        (OneValue, "reconstruction-mse", "'reconstruct' returns a tensor of shape (16, 1), not (16, 10); end with"),
        (Pair, "reconstruction-mse", "'reconstruct' returns a tuple, not a tensor"),
        (DensityOfValues, "log-likelihood-exact", "'log_prob' returns a tensor of shape (16, 10), not (16,); sum over"),
        (CodesApart, "elbo", "'posterior' has the batch shape (16, 2) and the event shape (), not (16,) and (latent,)"),
        (Parameters, "elbo", "'posterior' returns a tuple; return a torch.distributions.Distribution"),
        (FirstValue, "elbo", "'observation' has the batch shape (16,) and the event shape (1,), not (16,) and (10,)"),
        (BoundOfBatch, "elbo", "'elbo_terms' returns a tensor of shape (), not (16,)"),
    ],
)
def test_an_output_of_a_wrong_shape_is_an_error_and_no_value(model: type[Linear], metric: str, problem: str) -> None:
    record = record_of(model(), metric)
    assert record.status == "error"
    assert record.value is None
    assert problem in (record.reason or "")
    assert (record.reason or "").startswith("model '")


class ForgetsToReturn(nn.Module):
    def sample(self, n: int, noise: harness.Noise) -> Any:
        noise.normal(n, 10)


def test_samples_that_are_no_tensor_are_an_error_that_says_so() -> None:
    (record,) = harness.evaluate(
        ForgetsToReturn(), "ppca-toy", "diversity", settings={**small, "diversity.features": "pixels"}, quiet=True
    )
    assert "TypeError: sample() returned a NoneType; return a tensor (n, *shape)" in record.reason


@pytest.mark.parametrize("metric", ["reconstruction-mse", "log-likelihood-exact", "elbo"])
def test_a_right_model_has_a_value(metric: str) -> None:
    assert record_of(Linear(), metric).status == "ok"


def test_a_method_that_the_metric_does_not_use_may_return_anything() -> None:
    assert record_of(OneValue(), "log-likelihood-exact").status == "ok"


class LossOfExamples(Linear):
    def loss(self, x: Tensor, noise: harness.Noise) -> Any:
        return (self.reconstruct(x) - x).square().mean(1)


class LossAsNumber(Linear):
    def loss(self, x: Tensor, noise: harness.Noise) -> Any:
        return super().loss(x, noise).item()


class LossWithoutGradient(Linear):
    def loss(self, x: Tensor, noise: harness.Noise) -> Any:
        return super().loss(x, noise).detach()


@pytest.mark.parametrize(
    ("model", "problem"),
    [
        (LossOfExamples, "its 'loss' is a tensor of shape (128,), not a scalar; average it over examples"),
        (LossAsNumber, "its 'loss' is a float, not a tensor; leave out float() and .item()"),
        (LossWithoutGradient, "its 'loss' has no gradient; compute it from the parameters"),
    ],
)
def test_a_loss_that_cannot_be_minimised_says_what_it_is(model: type[Linear], problem: str) -> None:
    spec = harness.ModelSpec("mine", model, "a model")
    results = harness.run(
        "mine", "reconstruction-mse", "ppca-toy", seeds=1, epochs=1, settings=small, plugins=[spec], quiet=True,
        figures=False,
    )  # fmt: skip
    (record,) = results
    assert (record.status, record.value) == ("error", None)
    assert problem in (record.reason or "")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
