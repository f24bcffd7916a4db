"""Peak memory of a block of work, and how much work fits into a given memory."""

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
    """Measures the peak memory within a ``with`` block, in bytes: ``PeakMemory(device).bytes``.

    ``beyond`` is the part of the peak above the memory in use before. On CUDA both count what torch has allocated. On
    the CPU they count the process's resident memory, after free memory has been returned to the system. If the system
    cannot reset its peak, ``since_start`` is true and the values cover the whole process so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0
        self.since_start = False

    @property
    def beyond(self) -> int:
        """The peak minus the memory in use at the start of the block, in bytes."""
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
    """Return the number of rows like ``row``, ``(d,)``, to compute at a time within ``memory`` MiB, but at least one.

    The memory of a row is estimated as twice what torch keeps for its gradients: the difference between computing two
    rows and one. The other half is for the gradients, or for temporary tensors.
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
    """Return whether an exception of torch or Python says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
