"""Where the work of a run is done: in this process, or in worker processes side by side."""

from harness.executors.task import Bench, Observer, Reporter, Task, perform, stored_model
from harness.executors.workers import Blueprint, Jobs, perform_in_workers

__all__ = [
    "Bench",
    "Blueprint",
    "Jobs",
    "Observer",
    "Reporter",
    "Task",
    "perform",
    "perform_in_workers",
    "stored_model",
]
