"""A plugin whose model and metric have a fault, at a place that a setting names."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import harness

SLEEPER = "import time; time.sleep(3600)"


def _spin() -> None:
    while True:
        pass


def _sleep() -> None:
    time.sleep(3600)


def _grow() -> None:
    kept = []
    while True:
        kept.append(torch.ones(2**22))  # 16 MiB


def _grow_in_a_child() -> None:
    code = "kept = []\nwhile True:\n    kept.append(bytearray(b'!' * 2**24))"
    subprocess.run([sys.executable, "-c", code], check=False)


def _shout() -> None:
    print("!" * 2**22)
    os.write(1, b"?" * 2**20)


def _start_thread() -> None:
    threading.Thread(target=_sleep).start()


def _start_child() -> None:
    subprocess.Popen([sys.executable, "-c", SLEEPER])


def _start_daemon() -> None:
    """Start a process in a session of its own, whose parent ends at once."""
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}], start_new_session=True)"
    subprocess.run([sys.executable, "-c", code], check=True)


def _daemons_and_hang() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _start_child()
    _start_daemon()
    if os.fork() == 0:
        os.setsid()
    _sleep()


def _fork_and_die() -> None:
    """Leave a child that keeps all files open, and die."""
    if os.fork() == 0:
        time.sleep(3600)
    os.kill(os.getpid(), signal.SIGKILL)


def _ignore_and_spin() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _spin()


faults: dict[str, Callable[[], object]] = {
    "none": lambda: None,
    "sigkill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "sigsegv": lambda: ctypes.string_at(0),
    "abort": os.abort,
    "os-exit": lambda: os._exit(0),
    "sys-exit": lambda: sys.exit(0),
    "busy-hang": _spin,
    "sleeping-hang": _sleep,
    "stubborn-hang": _ignore_and_spin,
    "memory": _grow,
    "memory-of-a-child": _grow_in_a_child,
    "output": _shout,
    "thread": _start_thread,
    "child": _start_child,
    "daemon": _start_daemon,
    "daemons-and-hang": _daemons_and_hang,
    "fork-and-sigkill": _fork_and_die,
    "close-files": lambda: os.closerange(3, 256),
}


@dataclass(frozen=True)
class Faulty:
    """A fault, the place where it occurs, and how often the loss is computed before."""

    fault: str = "none"
    place: str = "loss"
    step: int = 0

    def at(self, place: str) -> None:
        """Have the fault if this is its place."""
        if place == self.place:
            faults[self.fault]()


class Tiny:
    """Sixty points of thirty values in each split."""

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def load(self, source: harness.DataSource) -> harness.Data:
        generator = torch.Generator().manual_seed(1)
        splits = [harness.Examples(torch.rand(60, 30, generator=generator)) for _ in range(3)]
        return harness.Data.from_tensors(*splits)


class Scaled(torch.nn.Module):
    """Learns one factor."""

    Config = Faulty

    def __init__(self, info: harness.DataInfo, config: Faulty) -> None:
        super().__init__()
        self.config, self.steps = config, 0
        self.w = torch.nn.Parameter(torch.zeros(1))
        config.at("init")

    def reconstruct(self, x: Tensor) -> Tensor:
        return x * self.w

    def loss(self, x: Tensor, noise: harness.Noise) -> Tensor:
        if self.steps == self.config.step:
            self.config.at("loss")
        self.steps += 1
        return (self.reconstruct(x) - x).square().mean() + noise.normal(len(x)).square().mean()

    def sample(self, n: int, noise: harness.Noise) -> Tensor:
        self.config.at("sample")
        return self.w * noise.normal(n, 30)


class Mean:
    """The mean of samples."""

    unit, direction, needs = "things", "lower", ()

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def measure(self, model: Scaled, data: harness.Data, context: harness.Context) -> harness.Estimate:
        return harness.Estimate(float(model.sample(100, context.noise).mean()), 0.1, 100)


class Measured:
    """The factor, measured by a metric that has a fault if the model says so."""

    unit, direction, needs = "things", "lower", ()

    def __init__(self, config: harness.NoSettings) -> None:
        pass

    def measure(self, model: Scaled, data: harness.Data, context: harness.Context) -> harness.Estimate:
        context.config.at("measure")
        return harness.Estimate(float(model.w), 0.1, 100)


@harness.hookimpl
def harness_datasets() -> list[harness.DatasetSpec]:
    return [harness.DatasetSpec("tiny", Tiny, "for tests")]


@harness.hookimpl
def harness_models() -> list[harness.ModelSpec]:
    return [harness.ModelSpec("faulty", Scaled, "for tests")]


@harness.hookimpl
def harness_metrics() -> list[harness.MetricSpec]:
    return [harness.MetricSpec("mean", Mean, "for tests"), harness.MetricSpec("measured", Measured, "for tests")]
