"""Workers as jobs of a Slurm queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from harness import UsageError, setting


class Slurm:
    """Submits each worker as a job, by submitit; a worker carries out tasks until the run is over.

    Needs submitit: ``pip install 'generative-harness[slurm]'``. Jobs run this Python, which must be on a file system
    that the nodes share, and so must ``folder``, in which submitit keeps the scripts and the logs of jobs. A job that
    reaches its time is ended by Slurm; another worker then goes on from the last checkpoint.
    """

    @dataclass(frozen=True)
    class Config:
        """Settings."""

        workers: int = setting(4, "jobs to submit", minimum=1)
        minutes: int = setting(240, "time of a job", minimum=1)
        cpus: int = setting(1, "CPUs of a job", minimum=1)
        gpus: int = setting(0, "GPUs of a job", minimum=0)
        memory: float = setting(4.0, "memory of a job in GiB", above=0)
        partition: str | None = setting(None, "partition of the queue")
        folder: str = setting("slurm-jobs", "for the scripts and the logs of jobs, on a shared file system")
        cluster: Literal["slurm", "local"] = setting("slurm", "local starts jobs on this machine, to try it out")

    def __init__(self, config: Config) -> None:
        self.config = config
        self.places = config.workers

    def __enter__(self) -> Self:
        try:
            import submitit
        except ImportError as error:
            raise UsageError("submitit is not installed; pip install 'generative-harness[slurm]'") from error
        config = self.config
        try:
            self._executor = submitit.AutoExecutor(folder=Path(config.folder), cluster=config.cluster)
        except RuntimeError as error:  # there is no sbatch here
            raise UsageError(f"slurm: {error}") from error
        resources = {"timeout_min": config.minutes, "cpus_per_task": config.cpus, "mem_gb": config.memory}
        partition = {"slurm_partition": config.partition} if config.partition and config.cluster == "slurm" else {}
        gpus = {"gpus_per_node": config.gpus} if config.gpus else {}
        self._executor.update_parameters(name="harness", **resources, **partition, **gpus)
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def submit(self, work: Callable[[], None]) -> SlurmJob:
        """Submit a job that calls a function."""
        return SlurmJob(self._executor.submit(work))


class SlurmJob:
    """A job of submitit."""

    def __init__(self, job: Any) -> None:
        self._job = job

    def end(self) -> str | None:
        """See ``harness.Job``."""
        if not self._job.done():
            return None
        return f"its job {self._job.job_id} ended ({self._job.state}); its log is {self._job.paths.stderr}"

    def cancel(self) -> None:
        """See ``harness.Job``."""
        if not self._job.done():
            self._job.cancel()
