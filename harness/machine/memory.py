"""Peak memory over a stretch of work, and how much work a given memory is enough for."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from harness.machine.glibc import return_freed_memory

_status = Path("/proc/self/status")
_clear = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures the most memory in use within a ``with`` block, in bytes: ``PeakMemory(device).bytes``.

    ``beyond`` is by how much that exceeds what was in use before. On CUDA both are what torch had allocated. On the
    CPU they are the process's resident memory, after what is free has been handed back to the system;
    ``since_start`` tells that the system could not reset its high-water mark, so that the figures cover the whole
    process so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0
        self.since_start = False

    @property
    def beyond(self) -> int:
        """How many bytes more than at the start were in use at most."""
        return self.bytes - self._before

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_allocated(self.device)
        else:
            return_freed_memory()
            try:
                _clear.write_text("5")
            except OSError:
                self.since_start = True
            self._before = _resident_peak()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self.bytes = _resident_peak()


def rows_within(memory: float, compute: Callable[[Tensor], object], row: Tensor) -> int:
    """Return how many rows like ``row``, ``(d,)``, to compute at a time within ``memory`` MiB, but at least one.

    What one more takes is seen from computing one and two of them: all that torch keeps for gradients, and as much
    again for the gradients, or for what comes and goes on the way.
    """

    def kept(rows: int) -> int:
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.enable_grad(), saved_tensors_hooks(count, lambda tensor: tensor):
            compute(row.detach().repeat(rows, 1).requires_grad_())
        return total

    return max(1, int(memory * 2**20 / max(row.nbytes, 2 * (kept(2) - kept(1)))))


def _resident_peak() -> int:
    if _status.exists():
        line = next(each for each in _status.read_text().splitlines() if each.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception is torch's or Python's way of saying that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
