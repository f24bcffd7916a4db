"""The precision that training computes in, and which precisions and step modes a device has.

Metrics always compute in float32 or better.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from harness.contracts.engine import Precision, StepMode
from harness.errors import UsageError

_matmul = {"float32": "highest", "tf32": "high", "bf16": "highest", "bf16-products": "medium"}


def require_precision(precision: Precision, device: torch.device) -> None:
    """Check that the device has this precision.

    Raises:
        UsageError: it does not.
    """
    if precision == "tf32" and device.type != "cuda":
        raise UsageError("precision tf32 is available on CUDA only; a CPU has float32, bf16 and bf16-products.")
    if precision == "bf16-products" and device.type != "cpu":
        raise UsageError("precision bf16-products is available on CPUs only; CUDA has float32, tf32 and bf16.")


def require_step_mode(step_mode: StepMode, device: torch.device) -> None:
    """Check that the device has this step mode.

    Raises:
        UsageError: it does not.
    """
    if step_mode == "captured" and device.type != "cuda":
        raise UsageError("step mode captured is available on CUDA only; a CPU has eager and compiled.")


@contextmanager
def computing_in(precision: Precision) -> Iterator[None]:
    """Let torch compute matrix products and convolutions within the block in this precision.

    ``tf32`` and ``bf16-products`` round the factors of float32 products to 10 and 7 bits of mantissa; sums are in
    float32. ``bf16`` takes effect only in ``autocast``.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(_matmul[precision])
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[Any]:
    """Return the context for computing losses: torch's autocast to bfloat16 if ``precision`` is ``bf16``."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()
