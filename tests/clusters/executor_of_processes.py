"""An executor for tests: agents are processes of this machine, the first of which may be killed."""

import threading
from dataclasses import dataclass

from agents import carry_out

import harness
from harness.execution.workers import start_process


class Processes:
    @dataclass(frozen=True)
    class Config:
        places: int = harness.setting(2, "agents at once", minimum=1)
        kills: int = harness.setting(0, "how many agents are killed", minimum=0)
        after: float = harness.setting(0.0, "after how many seconds they are killed", minimum=0)

    def __init__(self, config):
        self.config = config
        self.places = config.places
        self.jobs = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for job in self.jobs:
            job.process.join(20)  # each leaves by itself

    def submit(self, work):
        process, _, _ = start_process(carry_out, work)
        self.jobs.append(Job(process))
        if len(self.jobs) <= self.config.kills:
            threading.Timer(self.config.after, process.kill).start()
        return self.jobs[-1]


class Job:
    def __init__(self, process):
        self.process = process

    def end(self):
        code = self.process.exitcode
        return None if code is None else f"its agent ended with exit code {code}"

    def cancel(self):
        self.process.kill()


@harness.hookimpl
def harness_executors():
    return [harness.ExecutorSpec("processes", Processes, "processes of this machine, for tests")]
