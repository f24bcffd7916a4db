"""Faster linear layers on CPUs where torch's default library leaves half of the processor idle.

torch multiplies float32 matrices on the CPU through MKL, which on AMD processors uses 256-bit instructions only.
oneDNN, which comes with torch, uses 512-bit instructions where the processor has them: twice as fast, in the same
precision.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Below this many multiplications the overhead in Python costs more than oneDNN gains.
_worthwhile = 2**20


class FastLinear(nn.Linear):
    """An ``nn.Linear`` that multiplies by oneDNN where it can; its copies and pickles are plain ``nn.Linear``."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- the name in nn.Linear
        """Return ``input @ weight.T + bias``, ``(..., out)``, for ``input`` ``(..., in)``."""
        return linear(input, self.weight, self.bias, use_onednn=True)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return object.__new__, (nn.Linear,), self.__dict__


@contextmanager
def fast_linear(model: nn.Module, device: torch.device, *, use_onednn: bool | None = None) -> Iterator[None]:
    """Let the ``nn.Linear`` layers of a model be ``FastLinear`` within the block.

    Subclasses of ``nn.Linear`` keep their own ``forward``, and nothing outside the model changes.

    Args:
        model: whose layers are switched, in place.
        device: of the model.
        use_onednn: whether to switch them; by default, if the device is a CPU on which oneDNN is faster.
    """
    if use_onednn is None:
        use_onednn = onednn_is_faster()
    full_precision = torch.get_float32_matmul_precision() == "highest"
    layers: list[nn.Module] = []
    if use_onednn and full_precision and device.type == "cpu":
        layers = [module for module in model.modules() if type(module) is nn.Linear]
    for layer in layers:
        layer.__class__ = FastLinear
    try:
        yield
    finally:
        for layer in layers:
            if type(layer) is FastLinear:  # not where the model has changed its class within the block
                layer.__class__ = nn.Linear  # type: ignore[assignment]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, use_onednn: bool | None = None) -> Tensor:
    """Return ``x @ weight.T + bias``, ``(..., out)``, as ``F.linear`` does, by the faster library.

    Args:
        x: ``(..., in)``.
        weight: ``(out, in)``.
        bias: ``(out,)``.
        use_onednn: whether to use oneDNN for large float32 matrices on the CPU; by default, if it is faster there.
            Where ``torch.backends.mkldnn.enabled`` is false, it is never used.
    """
    if (onednn_is_faster() if use_onednn is None else use_onednn) and _suits_onednn(x, weight):
        product = torch.ops.harness.linear if torch.compiler.is_compiling() else _Linear.apply
        result: Tensor = product(x, weight, bias)
        return result
    return F.linear(x, weight, bias)


@functools.cache
def onednn_is_faster() -> bool:
    """Return whether this is an AMD processor with AVX-512, and torch has oneDNN."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability().startswith("AVX512")):
        return False
    try:
        return "AuthenticAMD" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False


def onednn_product(x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ w.T + bias``, ``(N, out)``, for float32 ``x`` ``(N, in)`` and ``w`` ``(out, in)``."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, w, bias, "none", [], "")
    return product


def _suits_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dtype == weight.dtype == torch.float32
        and x.dim() == 2
        and x.shape[0] * weight.numel() >= _worthwhile
        and x.is_cpu
        and not torch.is_autocast_enabled("cpu")
        and (torch.compiler.is_compiling() or _allows_onednn(x, weight))
    )


def _allows_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        bool(torch.backends.mkldnn.enabled)
        and torch.get_float32_matmul_precision() == "highest"
        and not _is_wrapped(x)
        and not _is_wrapped(weight)
    )


_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return onednn_product(x.contiguous(), weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        # For a slice of the columns of a wider tensor, oneDNN takes a thousand times as long.
        x, gradient = x.contiguous(), gradients[0].contiguous()
        # With create_graph the products must be differentiable, and oneDNN's are not.
        product = (lambda a, b: a @ b.t()) if torch.is_grad_enabled() else onednn_product
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if needs_x else None,
            product(gradient.t(), x.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


# The same as a custom operation, opaque to torch.compile, which takes the ``w`` of torch's operation for a constant.
# It can be differentiated any number of times.


def _forward(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    return onednn_product(x.contiguous(), w, bias)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
    x, w, bias = inputs
    ctx.save_for_backward(x, w)
    ctx.has_bias = bias is not None


def _gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    x, w = ctx.saved_tensors
    linear = torch.ops.harness.linear
    needs_x, needs_weight, _ = ctx.needs_input_grad
    return (
        linear(gradient, w.t(), None) if needs_x else None,
        linear(gradient.t(), x.t(), None) if needs_weight else None,
        gradient.sum(0) if ctx.has_bias else None,
    )


torch.library.define("harness::linear", "(Tensor x, Tensor w, Tensor? bias) -> Tensor")
torch.library.impl("harness::linear", "CPU", _forward)
torch.library.register_fake("harness::linear", lambda x, w, bias: x.new_empty(x.shape[0], w.shape[0]))
torch.library.register_autograd("harness::linear", _gradients, setup_context=_save_inputs)
