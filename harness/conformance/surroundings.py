"""What a plugin must leave as it is: seeds, the default dtype, threads, the folder, the environment, the output."""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import random
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.noise import global_state, restore_global_state


@dataclass(frozen=True)
class Aspect:
    """One part of the surroundings.

    Args:
        name: of its checks.
        read: returns its state.
        restore: sets it to a state that ``read`` returned.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]


def _read_numbers() -> Any:
    state = np.random.get_state(legacy=False)
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]


def _read_switches() -> tuple[bool, int, bool]:
    return torch.is_grad_enabled(), torch.get_deterministic_debug_mode(), torch.is_anomaly_enabled()


def _restore_switches(state: tuple[bool, int, bool]) -> None:
    torch.set_grad_enabled(state[0])
    torch.set_deterministic_debug_mode(state[1])
    torch.autograd.set_detect_anomaly(state[2])


def _restore_environment(state: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(state)


aspects = (
    Aspect("torch-seed", torch.initial_seed, lambda state: None),  # restored with torch's generators
    Aspect("other-seeds", _read_numbers, lambda state: None),  # restored with the generators
    Aspect("default-dtype", torch.get_default_dtype, torch.set_default_dtype),
    Aspect("threads", torch.get_num_threads, torch.set_num_threads),
    Aspect("switches", _read_switches, _restore_switches),
    Aspect("folder", Path.cwd, os.chdir),
    Aspect("environment", lambda: dict(os.environ), _restore_environment),
)


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """Return an empty cache folder, which is removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="harness-check-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


@contextlib.contextmanager
def restored() -> Iterator[None]:
    """Restore the surroundings after the block."""
    before = [(each, each.read()) for each in aspects]
    generators = global_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        for each, state in before:
            if each.read() != state:
                each.restore(state)
        restore_global_state(generators[0])
        random.setstate(generators[1])
        np.random.set_state(generators[2])


def disturb(seed: int) -> None:
    """Set the global generators to a state of the check's own; ``restored`` sets them back after it."""
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Keep what is printed within the block, and ignore warnings."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield text


def changes(work: Callable[[], object]) -> dict[str, str]:
    """Return what a piece of work changes, in words, by the name of the aspect; it works in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, restored(), quiet():
        os.chdir(folder)
        work()  # a first time, since libraries set variables when they are imported
    with tempfile.TemporaryDirectory() as folder, restored(), quiet() as printed:
        os.chdir(folder)
        before = {each.name: each.read() for each in aspects}
        work()
        found = {
            each.name: f"{_shown(each.name, before[each.name], now)}"
            for each in aspects
            if (now := each.read()) != before[each.name]
        }
        files = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*"))
    if files:
        found["files"] = f"it wrote {', '.join(files)} into the current folder"
    if printed.getvalue().strip():
        found["output"] = f"it printed {printed.getvalue().strip()[:80]!r}"
    return found


def _shown(name: str, before: Any, now: Any) -> str:
    if name == "other-seeds":
        return "the state of random or numpy.random was another afterwards"
    if name == "environment":
        names = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        return f"it changed the environment variables {', '.join(names)}"
    return f"{before} became {now}"
