"""The state of torch, which a run sets and a notebook keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored_torch() -> Iterator[None]:
    """Restore torch's threads, determinism and precision after the block, in which a run may set them."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    tf32, product_precision = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    flushes = float(torch.tensor(1e-40) / 2) == 0  # torch has no function that returns this
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(deterministic)
        torch.backends.cudnn.allow_tf32 = tf32
        torch.set_float32_matmul_precision(product_precision)
        torch.set_flush_denormal(flushes)
