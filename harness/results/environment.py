"""The environment of a result: software, machine, and the state of the working tree."""

from __future__ import annotations

import importlib.metadata
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from harness.git import git_line
from harness.machine.cpu_load import cores

_distributions = ("generative-harness", "torch", "torchvision", "numpy", "scipy")


@dataclass(frozen=True)
class Environment:
    """The software and the machine."""

    python: str
    system: str
    distributions: dict[str, str]
    processor: str
    cores: int
    accelerator: str | None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @property
    def machine(self) -> str:
        """The machine in words; two timings can be compared only if it is the same."""
        return f"{self.accelerator or self.processor}, {self.cores} cores"


@dataclass(frozen=True)
class Commit:
    """The git commit of the folder in which the run was started, and whether files differed from it."""

    sha: str | None
    dirty: bool | None


def describe_environment(device: torch.device) -> Environment:
    """Return the environment of this process."""
    versions = {}
    for name in _distributions:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return Environment(
        python=platform.python_version(),
        system=platform.platform(),
        distributions=versions,
        processor=_processor(),
        cores=cores(),
        accelerator=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
    )


def describe_commit() -> Commit:
    """Ask git about the current folder; outside a repository, or without git, nothing is known."""
    sha = git_line("rev-parse", "HEAD")
    if sha is None:
        return Commit(None, None)
    return Commit(sha, bool(git_line("status", "--porcelain", "--untracked-files=no")))


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
