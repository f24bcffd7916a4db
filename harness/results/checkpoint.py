"""Checkpoints on disk, from which long work resumes after an interruption, bit for bit as if there had been none."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import torch

from harness.atomic import create_folder, replacing
from harness.contracts.checkpoints import State
from harness.errors import StoreError
from harness.results.checksums import DamagedError, stamp, stamped_content

layouts = {"fit": 3, "measurement": 2}  # versions of the formats


class FileCheckpoint:
    """A file that keeps the state of a fit or a measurement; see ``harness.contracts.checkpoints``.

    Args:
        path: of the file; its folder is created.
        announce: shows the user one line.
        work: what the state is of, ``fit`` or ``measurement``.
        interval: seconds between two saves.
    """

    def __init__(self, path: Path, announce: Callable[[str], None], work: str = "fit", interval: float = 30.0) -> None:
        self.path = path
        self.announce = announce
        self.work = work
        self.interval = interval
        self._written = time.monotonic()

    def load(self) -> State | None:
        """See ``Checkpoint.load``."""
        state, problem = self._read()
        if problem is not None:
            self.announce(f"{self.path} {problem}; the {self.work} starts from the beginning")
        if state is not None:
            self.announce(f"resuming the {self.work} from a checkpoint after {state['done']}")
        return state

    @property
    def done(self) -> str | None:
        """How much of the work need not be done again, in words, or None if there is no state to resume from."""
        state, _ = self._read()
        return None if state is None else str(state["done"])

    def _read(self) -> tuple[State | None, str | None]:
        """Return the state that was kept, or what is wrong with it."""
        try:
            content = stamped_content(self.path, self.path.name)
            state: State = torch.load(io.BytesIO(content), weights_only=True)
        except FileNotFoundError:
            return None, None
        except DamagedError as error:
            return None, f"cannot be used: {error}"
        except Exception as error:
            return None, f"cannot be read ({type(error).__name__})"
        if not isinstance(state, dict) or state.get("layout") != layouts[self.work] or "done" not in state:
            return None, "was written by another version"
        if state.get("torch") != str(torch.__version__):
            return None, f"was written by torch {state.get('torch')}"
        return state, None

    @property
    def is_due(self) -> bool:
        """See ``Checkpoint.is_due``."""
        return time.monotonic() - self._written >= self.interval

    def save(self, state: State, done: str) -> None:
        """See ``Checkpoint.save``."""
        try:
            create_folder(self.path.parent)
            with replacing(self.path) as temporary:
                torch.save(
                    {"torch": str(torch.__version__), "layout": layouts[self.work], "done": done, **state}, temporary
                )
                stamp(temporary, self.path.name)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"cannot write {self.path}: {error}") from error
        self._written = time.monotonic()

    def remove(self) -> None:
        """See ``Checkpoint.remove``."""
        self.path.unlink(missing_ok=True)
