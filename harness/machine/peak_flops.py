"""The peak of a device: the highest measured rate of matrix products in a precision, and its memory bandwidth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median, stdev

import torch
from torch import Tensor

from harness.contracts.engine import Precision
from harness.machine.device import synchronize
from harness.machine.fast_linear import onednn_product
from harness.machine.precision import computing_in

_smallest, _largest = 512, 8192  # squares, a side
_slow = 0.1  # seconds: larger squares, whose product would take longer, are not tried
_repeats = 5
_shortest = 0.01  # seconds: least length of a repeat


@dataclass(frozen=True)
class MatrixPeak:
    """The highest rate measured.

    Args:
        rate: in FLOP/s, the median over repeats; a product of ``(m, k)`` and ``(k, n)`` counts as 2·m·n·k.
        shape: ``(m, k, n)`` of the product with this rate.
        kernel: ``torch.mm`` or ``oneDNN``.
        stderr: standard error of this median, in FLOP/s.
    """

    rate: float
    shape: tuple[int, int, int]
    kernel: str
    stderr: float


@torch.no_grad()
def matrix_product_peak(
    device: torch.device, shapes: Iterable[tuple[int, int, int]] = (), precision: Precision = "float32"
) -> MatrixPeak:
    """Measure the highest rate of matrix products in a precision, with the threads that torch is set to.

    Products of square matrices of growing size and of ``shapes``, each ``(m, k, n)``, are timed. On a CPU oneDNN's
    float32 product is timed too, since on AMD it is often twice as fast as ``torch.mm``.
    """
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with computing_in(precision):
        found = [_best(device, shape, dtype) for shape in dict.fromkeys(shapes)]
        for side in _squares():
            found.append(_best(device, (side, side, side), dtype))
            if 2 * (2 * side) ** 3 / found[-1].rate > _slow:
                break
    return max(found, key=lambda each: each.rate)


def _squares() -> Iterator[int]:
    side = _smallest
    while side <= _largest:
        yield side
        side *= 2


def _best(device: torch.device, shape: tuple[int, int, int], dtype: torch.dtype) -> MatrixPeak:
    m, k, n = shape
    a, b = (torch.rand(rows, k, device=device).to(dtype) for rows in (m, n))
    rates = {
        name: [2 * m * n * k / each for each in _seconds(lambda product=product: product(a, b), device)]  # type: ignore[misc]
        for name, product in _products(device, dtype).items()
    }
    kernel = max(rates, key=lambda name: median(rates[name]))
    error = math.sqrt(math.pi / 2) * stdev(rates[kernel]) / math.sqrt(_repeats)
    return MatrixPeak(median(rates[kernel]), shape, kernel, error)


def _products(device: torch.device, dtype: torch.dtype) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Return the ways to multiply ``(m, k)`` by the transpose of ``(n, k)``."""
    products: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"torch.mm": lambda a, b: torch.mm(a, b.T)}
    if device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available():
        products["oneDNN"] = onednn_product
    return products


def _seconds(product: Callable[[], Tensor], device: torch.device) -> list[float]:
    """Return the time of one product in each repeat."""

    def timed(calls: int) -> float:
        synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            product()
        synchronize(device)
        return (time.perf_counter() - start) / calls

    timed(1)
    calls = max(1, math.ceil(_shortest / timed(1)))
    return [timed(calls) for _ in range(_repeats)]


@torch.no_grad()
def memory_bandwidth(device: torch.device) -> float:
    """Measure the rate of copying far more than any cache holds, in bytes/s, reads and writes both counted."""
    source = torch.zeros(2**26, device=device)  # 256 MiB
    target = torch.empty_like(source)
    return 2 * source.nbytes / min(_seconds(lambda: target.copy_(source), device))
