"""Ways to start workers on other machines: a Ray cluster, a Slurm queue."""

from __future__ import annotations

from harness import ExecutorSpec, hookimpl


@hookimpl
def harness_executors() -> list[ExecutorSpec]:
    """Provide the executors."""
    return [
        ExecutorSpec("ray", "harness_executors.ray_cluster:RayCluster", "workers on a Ray cluster", version="1"),
        ExecutorSpec("slurm", "harness_executors.slurm:Slurm", "workers as jobs of a Slurm queue", version="1"),
    ]
