"""A Bernoulli distribution that is faster than torch's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli as TorchBernoulli


class Bernoulli(TorchBernoulli):
    """torch's Bernoulli with a fused ``log_prob`` and gradient, if it is built from logits.

    log p(x) = x l − max(l, 0) − log(1 + exp(−|l|)) for logits l and x in [0, 1]. The last term has an absolute error of
    at most 6e-8 in float32. It is computed without ``log1p``, which is slow on some CPUs.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        """Return log p(value), of the broadcast shape of logits and value."""
        if "logits" not in self.__dict__:
            return super().log_prob(value)  # type: ignore[no-any-return, no-untyped-call]
        logits, value = torch.broadcast_tensors(self.logits, value)
        result: Tensor = _BernoulliLogProb.apply(logits, value)
        return result


class _BernoulliLogProb(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits: Tensor, value: Tensor) -> Tensor:
        return logits * value - logits.clamp(min=0) - logits.abs().neg().exp().add(1).log()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits, value = ctx.saved_tensors
        (gradient,) = gradients
        needs_logits, needs_value = ctx.needs_input_grad
        return (
            (value - logits.sigmoid()) * gradient if needs_logits else None,
            logits * gradient if needs_value else None,
        )
