"""Freed memory is kept for the next tensors."""

from __future__ import annotations

import ctypes
import resource
import sys
from multiprocessing.connection import Connection

import pytest
import torch

from harness.execution.workers import start_process
from harness.machine.device import prepare_torch

sizes = [5 * 2**20, 100, 3 * 2**20, 100, 6 * 2**20, 100, 3 * 2**20]


def step() -> None:
    tensors = [torch.ones(size // 4) for size in sizes]
    tensors.reverse()


def send_faults(connection: Connection, is_prepared: bool) -> None:
    """Send how many pages the system maps in 100 steps; without preparation, each tensor of a MiB is mapped anew."""
    if is_prepared:
        prepare_torch("cpu")
    else:
        ctypes.CDLL(None).mallopt(-3, 2**20)
    for _ in range(20):
        step()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        step()
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_freed_memory_is_not_mapped_again() -> None:
    def faults(*, is_prepared: bool) -> int:
        process, connection, _ = start_process(send_faults, is_prepared)
        found: int = connection.recv()
        process.join()
        return found

    assert faults(is_prepared=True) < 0.01 * faults(is_prepared=False)
