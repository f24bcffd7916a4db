"""Shared by tests and benchmarks of clusters: two Ray nodes of one CPU each, on this machine."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import pytest

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs the package ray")

# Starts two nodes, says where they are, and after a line on standard input kills the second.
_source = """
import sys
from ray.cluster_utils import Cluster
there = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 10**8})
other = there.add_node(num_cpus=1, object_store_memory=10**8)
print(there.address, flush=True)
for line in sys.stdin:
    if line.strip() == "kill":
        there.remove_node(other, allow_graceful=False)
        print("killed", flush=True)
there.shutdown()
"""


@dataclass(frozen=True)
class TwoNodes:
    """A cluster: the address of its first node, and a pipe to the process that started both."""

    address: str
    orders: IO[str]

    def kill_the_second(self) -> None:
        """Kill the second node, and do not wait for its end."""
        self.orders.write("kill\n")
        self.orders.flush()


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Start the nodes, and end them afterwards."""
    command = [sys.executable, "-c", _source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        address = next(line for line in process.stdout if line[0].isdigit()).strip()
        yield TwoNodes(address, process.stdin)
