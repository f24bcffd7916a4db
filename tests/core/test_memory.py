"""Freed memory is kept for the next tensors."""

import subprocess
import sys

import pytest

steps = """
import resource, torch
from harness.machine.device import prepare_torch
{}
sizes = [5 * 2**20, 100, 3 * 2**20, 100, 6 * 2**20, 100, 3 * 2**20]
def step():
    tensors = [torch.ones(size // 4) for size in sizes]
    tensors.reverse()
for _ in range(20):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_freed_memory_is_not_mapped_again() -> None:
    def faults(setup: str) -> int:
        command = [sys.executable, "-c", steps.format(setup)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    mapped_each_time = "import ctypes; ctypes.CDLL(None).mallopt(-3, 2**20)"  # each tensor of more than a MiB
    assert faults('prepare_torch("cpu")') < 0.01 * faults(mapped_each_time)
