"""Our Bernoulli agrees with torch's."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Independent
from torch.func import vmap

from harness.toolkit.bernoulli import Bernoulli


@settings(deadline=None)
@given(st.lists(st.floats(-200, 200), min_size=1, max_size=30), st.floats(0, 1))
def test_log_probabilities_and_gradients_agree_with_torch(logits: list[float], x: float) -> None:
    for dtype, tolerance in ((torch.float64, 1e-13), (torch.float32, 2.5e-7)):
        ours, theirs = (torch.tensor(logits, dtype=dtype, requires_grad=True) for _ in range(2))
        value = torch.full_like(ours, x).detach()
        a = Bernoulli(logits=ours, validate_args=False).log_prob(value)
        b = TorchBernoulli(logits=theirs, validate_args=False).log_prob(value)
        torch.testing.assert_close(a, b, rtol=0, atol=tolerance * (2 + max(map(abs, logits))))
        weights = torch.linspace(-1, 1, len(logits), dtype=dtype)
        (a * weights).sum().backward()
        (b * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=5 * tolerance)


def test_second_derivatives_are_right() -> None:
    logits = torch.randn(5, dtype=torch.float64, requires_grad=True)
    value = torch.rand(5, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda z: Bernoulli(logits=z, validate_args=False).log_prob(value), logits)


def test_it_can_be_expanded_vectorized_and_built_from_probabilities() -> None:
    logits, value = torch.randn(3, 4), torch.ones(2, 3, 4)
    expanded = Independent(Bernoulli(logits=logits).expand((2, 3, 4)), 2)
    torch.testing.assert_close(expanded.log_prob(value), TorchBernoulli(logits=logits).log_prob(value).sum((1, 2)))
    torch.testing.assert_close(
        Bernoulli(probs=torch.tensor(0.3)).log_prob(torch.ones(2)), torch.tensor(0.3).log().expand(2)
    )
    mapped = vmap(lambda z: Bernoulli(logits=z, validate_args=False).log_prob(value[0, 0]))(logits)
    torch.testing.assert_close(mapped, TorchBernoulli(logits=logits).log_prob(value[0, 0]))
