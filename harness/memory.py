"""Peak memory over a stretch of work."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from types import TracebackType

import torch

_status = Path("/proc/self/status")
_clear = Path("/proc/self/clear_refs")


class PeakMemory:
    """Measures the most memory in use within a ``with`` block, in bytes: ``PeakMemory(device).bytes``.

    On CUDA it is what torch had allocated. On the CPU it is the process's resident memory; ``since_start`` tells
    that the system could not reset its high-water mark, so that the figure covers the whole process so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0
        self.since_start = False

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        else:
            try:
                _clear.write_text("5")
            except OSError:
                self.since_start = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_allocated(self.device)
        else:
            self.bytes = _resident_peak()


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
