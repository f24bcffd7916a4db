"""A comparison ends when it is interrupted and when its time is up, whatever the versions that it runs are doing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from tests.conftest import Call

_plugin = """
import pathlib
import time

import torch

import harness


class Sleeper(torch.nn.Module):
    def __init__(self, info, config):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def loss(self, x, noise):
        pathlib.Path("sleeps").touch()
        time.sleep(1000)


@harness.hookimpl
def harness_models():
    return [harness.ModelSpec("sleeper", Sleeper, "for tests")]
"""


def started_by(test: str) -> list[psutil.Process]:
    """Return the running processes that have inherited the name of a test in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.environ().get("TEST") == test and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


in_the_whole_form = [pytest.param(each, marks=pytest.mark.faults) for each in (signal.SIGINT, signal.SIGKILL)]


@pytest.mark.parametrize("number", [signal.SIGTERM, *in_the_whole_form])
def test_an_interrupted_comparison_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "sleeper.py").write_text(_plugin)
    words = ["--models", "sleeper", "--metric", "parameters", "--dataset", "ppca-toy", "--only", "quality"]
    command = [sys.executable, "-m", "harness", "compare", "sleeper.py", "sleeper.py", *words]
    test = str(tmp_path)
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "TEST": test}, stderr=subprocess.PIPE, text=True
    )
    try:
        end = time.monotonic() + 120
        while not (tmp_path / "sleeps").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < end
            time.sleep(0.1)
        process.send_signal(number)
        _, errors = process.communicate(timeout=120)
        if number != signal.SIGKILL:
            assert (process.returncode, errors.splitlines()[-1]) == (130, "harness: interrupted")
        end = time.monotonic() + 60
        while (left := started_by(test)) and time.monotonic() < end:
            time.sleep(0.1)
        assert [each.cmdline() for each in left] == []
    finally:
        for each in started_by(test):
            each.kill()


def test_time_that_is_up_ends_training_and_the_survey_of_benchmarks(tmp_path: Path, call: Call) -> None:
    (tmp_path / "sleeper.py").write_text(_plugin)
    words = ["--models", "sleeper", "--metric", "parameters", "--dataset", "ppca-toy"]
    for kind, name, chosen in (
        ("quality", "parameters of sleeper", []),
        ("count", "training step of sleeper", ["--benchmark", "step"]),
    ):
        start = time.monotonic()
        only = ["--only", kind, *chosen, "--budget", "6s", "--format", "json"]
        result = call("compare", "sleeper.py", "sleeper.py", *words, *only)
        assert time.monotonic() - start < 100  # instead of the 1000 seconds of a step, or the 120 of a preparation
        assert result.code == 4, result.err
        (finding,) = json.loads(result.out)
        assert (finding["name"], finding["verdict"], finding["reason"]) == (name, "inconclusive", "time was up")
