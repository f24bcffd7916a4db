"""Workers on a Ray cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Self

from harness import UsageError, setting

_seconds_to_answer = 10.0


class RayCluster:
    """Starts each worker as a task of Ray (Moritz et al., 2018), which finds a node with the resources that it needs.

    Needs Ray: ``pip install 'generative-harness[ray]'``. Without ``address``, Ray uses the cluster that the variable
    ``RAY_ADDRESS`` names, or else starts on this machine only. Ray itself restarts nothing: the harness has lost work
    done again, from its checkpoints.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        address: str | None = setting(None, "of the cluster, such as auto or 10.0.0.1:6379")
        cpus: float = setting(1.0, "CPUs of a worker", above=0)
        gpus: float = setting(0.0, "GPUs of a worker", minimum=0)
        memory: float = setting(0.0, "memory of a worker in GiB, by which Ray finds a node; 0 for any", minimum=0)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.places = 1
        self._disconnects = False

    def __enter__(self) -> Self:
        ray = _ray()
        if not ray.is_initialized():
            try:
                _reach(self.config.address)
                ray.init(address=self.config.address, log_to_driver=False, logging_level="error")
            except (OSError, ValueError, RuntimeError) as error:
                raise UsageError(f"ray: no cluster at {self.config.address or 'this machine'}: {error}") from error
            self._disconnects = True
        there = ray.cluster_resources()
        wanted = {"CPU": self.config.cpus, "GPU": self.config.gpus, "memory": self.config.memory * 2**30}
        self.places = int(min(there.get(name, 0) // number for name, number in wanted.items() if number))
        if self.places < 1:
            self.__exit__()
            has = ", ".join(f"{there.get(name, 0):g} {name}" for name in wanted)
            raise UsageError(f"ray: the cluster has {has}, too little for a worker with {self.config}")
        return self

    def __exit__(self, *error: object) -> None:
        if self._disconnects:
            _ray().shutdown()

    def submit(self, work: Callable[[], None]) -> RayJob:
        """Have a node call a function."""
        ray = _ray()
        resources = {"num_cpus": self.config.cpus, "num_gpus": self.config.gpus}
        memory = {"memory": self.config.memory * 2**30} if self.config.memory else {}
        task = ray.remote(**resources, **memory, max_retries=0, max_calls=1)(_call)
        return RayJob(ray, task.remote(work))


class RayJob:
    """A task of Ray."""

    def __init__(self, ray: ModuleType, reference: Any) -> None:
        self._ray = ray
        self._reference = reference

    def end(self) -> str | None:
        """See ``harness.Job``."""
        ended, _ = self._ray.wait([self._reference], timeout=0)
        if not ended:
            return None
        try:
            self._ray.get(self._reference)
        except Exception as error:  # Ray derives some of its errors from those of the task
            *_, reason = (type(error).__name__, *str(error).split("\n"))
            return f"its task on the Ray cluster ended: {reason.strip() or type(error).__name__}"
        return "its task on the Ray cluster ended"

    def cancel(self) -> None:
        """See ``harness.Job``."""
        if self.end() is None:
            self._ray.cancel(self._reference, force=True)


def _reach(address: str | None) -> None:
    """Check that somebody answers at an address; Ray itself would try for many minutes.

    Raises:
        OSError: nobody does.
    """
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_seconds_to_answer).close()


def _call(work: Callable[[], None]) -> None:
    work()


def _ray() -> ModuleType:
    try:
        return import_module("ray")
    except ImportError as error:
        raise UsageError("ray is not installed; pip install 'generative-harness[ray]'") from error
