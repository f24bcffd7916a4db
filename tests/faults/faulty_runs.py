"""A run of the faulty plugin in a process of its own, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

_variable = "HARNESS_FAULT_TEST"


def _heed_signals() -> None:
    """Undo what nohup and the background jobs of shells do: they let a process ignore signals."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Runs:
    """Starts ``harness run`` with the faulty plugin; knows what it has started, however it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.token = uuid.uuid4().hex

    def start(self, *words: str) -> subprocess.Popen[str]:
        environment = {name: value for name, value in os.environ.items() if name != "HARNESS_DATA_DIR"}
        environment |= {"HARNESS_CACHE_DIR": str(self.folder / "cache"), "COLUMNS": "200", _variable: self.token}
        plugin = str(Path(__file__).with_name("faulty.py"))
        chosen = ["run", "--plugin", plugin, "--models", "faulty", "--dataset", "tiny", "--no-figures", "--steps", "3"]
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *chosen, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_heed_signals,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        process = self.start(*words)
        out, err = process.communicate(timeout=3000)
        return process.returncode, out, err

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "runs" / "records.jsonl").read_text().splitlines()]

    def alive(self, seconds: float = 120) -> list[str]:
        """Return the commands of processes that are left, after some time: one that imports torch ends when it has."""
        until = time.monotonic() + seconds
        while found := list(self.processes()):
            if time.monotonic() > until:
                break
            time.sleep(0.05)
        return [" ".join(process.cmdline()) for process in found]

    def processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                is_ours = process.environ().get(_variable) == self.token
                if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def leftovers(self) -> list[Path]:
        """Return the temporary files in the stores."""
        return [path for path in self.folder.glob("*/**/.*") if path.name not in (".", "..")]
