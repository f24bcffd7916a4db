"""Marks of tests that need a compiler, a GPU, a recent torch, bfloat16 in the processor, or what only Linux has."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

import pytest
import torch

_compiles = (
    any(map(shutil.which, ("g++", "c++", "clang++"))) and Path(sysconfig.get_path("include"), "Python.h").exists()
)

needs_a_compiler = pytest.mark.skipif(not _compiles, reason="torch.compile needs a C++ compiler and Python's headers")
needs_linux = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux has /proc/stat")
needs_a_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
_cpu = Path("/proc/cpuinfo")
_multiplies_bfloat16 = _cpu.exists() and any(each in _cpu.read_text() for each in ("avx512_bf16", "amx_bf16"))
needs_bfloat16 = pytest.mark.skipif(not _multiplies_bfloat16, reason="the processor has no instructions for bfloat16")
# With older ones, which are supported, some fits are not vectorized or compiled and fall back, which other tests show.
_is_recent = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 14)
needs_recent_torch = pytest.mark.skipif(not _is_recent, reason=f"torch {torch.__version__} cannot; training falls back")
needs_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
