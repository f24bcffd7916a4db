"""Fast matrix products on CPUs where torch's usual library leaves half of the processor idle.

torch multiplies float32 matrices on the CPU through MKL, which on AMD processors keeps to 256-bit instructions. oneDNN,
shipped with torch too, uses all 512 bits where there are any: twice as fast, in the same precision.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Below so many multiplications the detour through Python costs more than it gains.
_worthwhile = 2**20


_usual_linear = F.linear
_usual_only = False


@contextmanager
def fast_linear(device: torch.device) -> Iterator[None]:
    """Let ``F.linear``, and so every ``nn.Linear``, take the quicker library within the block, where it is one.

    The function itself is replaced: a ``TorchFunctionMode`` would do it too, and slow down every other operation.
    """
    full_precision = torch.get_float32_matmul_precision() == "highest"
    quick = device.type == "cpu" and full_precision and onednn_is_faster() and not _usual_only
    before = F.linear
    F.linear = _quick_linear if quick else _usual_linear
    try:
        yield
    finally:
        F.linear = before


@contextmanager
def standard_linear() -> Iterator[None]:
    """Let ``F.linear`` be torch's own within the block, also where ``fast_linear`` is asked for in it."""
    global _usual_only
    before = F.linear, _usual_only
    F.linear, _usual_only = _usual_linear, True
    try:
        yield
    finally:
        F.linear, _usual_only = before


@functools.cache
def onednn_is_faster() -> bool:
    """Tell whether this is an AMD processor with AVX-512, and torch has oneDNN."""
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


def _quick_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:  # noqa: A002 -- F.linear's own
    if _applies(input, weight):
        linear = torch.ops.harness.linear if torch.compiler.is_compiling() else _Linear.apply
        result: Tensor = linear(input, weight, bias)
        return result
    return _usual_linear(input, weight, bias)


def _applies(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dtype == weight.dtype == torch.float32
        and x.dim() == 2
        and x.shape[0] * weight.numel() >= _worthwhile
        and not torch.is_autocast_enabled("cpu")
        and (torch.compiler.is_compiling() or not any(map(_is_wrapped, (x, weight))))
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
        # oneDNN takes a thousand times as long over a part of the columns of a wider tensor.
        x, gradient = x.contiguous(), gradients[0].contiguous()
        # With create_graph the products must themselves be differentiable, as oneDNN's are not.
        product = (lambda a, b: a @ b.t()) if torch.is_grad_enabled() else onednn_product
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if needs_x else None,
            product(gradient.t(), x.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


# The same as an operation that compilers leave alone, since of torch's own they take ``w`` for a constant. It can be
# differentiated any number of times.


def _opaque(x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
    return onednn_product(x.contiguous(), w, bias)


def _remember(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Tensor) -> None:
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
torch.library.impl("harness::linear", "CPU", _opaque)
torch.library.register_fake("harness::linear", lambda x, w, bias: x.new_empty(x.shape[0], w.shape[0]))
torch.library.register_autograd("harness::linear", _gradients, setup_context=_remember)
