"""What code of plugins must leave as it is: seeds, the default dtype, threads, the folder, the environment."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.noise import global_state, restore_global_state

_of_torch = "TORCH"  # variables that torch sets when it first trains or compiles


@dataclass(frozen=True)
class Aspect:
    """One part of the surroundings.

    Args:
        name: of its checks.
        read: returns its state.
        restore: sets it to a state that ``read`` returned.
        change: says in words what changed, from the state before and the state after.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    change: Callable[[Any, Any], str]


def _read_folder() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:  # it was removed
        return None


def _restore_folder(state: Path | None) -> None:
    if state is not None:
        os.chdir(state)


def _read_numbers() -> Any:
    state = np.random.get_state(legacy=False)
    return random.getstate(), state["state"]["key"].tobytes(), state["state"]["pos"]


def _read_switches() -> tuple[bool, int, bool]:
    return torch.is_grad_enabled(), torch.get_deterministic_debug_mode(), torch.is_anomaly_enabled()


def _restore_switches(state: tuple[bool, int, bool]) -> None:
    torch.set_grad_enabled(state[0])
    torch.set_deterministic_debug_mode(state[1])
    torch.autograd.set_detect_anomaly(state[2])


def _read_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_of_torch)}


def _restore_environment(state: dict[str, str]) -> None:
    for name in _read_environment():
        del os.environ[name]
    os.environ.update(state)


def _changed_variables(before: dict[str, str], now: dict[str, str]) -> str:
    names = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    return f"the environment variables {', '.join(names)}"


def _nothing(state: Any) -> None:
    """Restore nothing: ``restored`` sets the generators back together."""


aspects = (
    Aspect("torch-seed", torch.initial_seed, _nothing, lambda before, now: "the seed of torch"),
    Aspect("other-seeds", _read_numbers, _nothing, lambda before, now: "the state of random or numpy.random"),
    Aspect(
        "default-dtype",
        torch.get_default_dtype,
        torch.set_default_dtype,
        lambda before, now: f"the default dtype, from {before} to {now}",
    ),
    Aspect(
        "threads",
        torch.get_num_threads,
        torch.set_num_threads,
        lambda before, now: f"the number of torch's threads, from {before} to {now}",
    ),
    Aspect(
        "switches",
        _read_switches,
        _restore_switches,
        lambda before, now: "torch's switches of gradients, determinism or anomaly detection",
    ),
    Aspect(
        "folder",
        _read_folder,
        _restore_folder,
        lambda before, now: f"the current folder, from {str(before)!r} to {str(now)!r}",
    ),
    Aspect("environment", _read_environment, _restore_environment, _changed_variables),
)


def read_all() -> dict[str, Any]:
    """Return the state of every aspect, by name."""
    return {each.name: each.read() for each in aspects}


def changes_since(before: dict[str, Any]) -> dict[str, str]:
    """Return in words what differs from what ``read_all`` returned, by the name of the aspect."""
    states = [(each, before[each.name], each.read()) for each in aspects]
    return {each.name: each.change(then, now) for each, then, now in states if now != then}


@contextmanager
def restored(report: Callable[[dict[str, str]], None] = lambda found: None, seed: int | None = None) -> Iterator[None]:
    """Restore the surroundings after the block.

    Args:
        report: receives what the block has changed, as ``changes_since`` returns it.
        seed: of the generators of ``random`` and numpy within the block, or None to leave them as they are.
    """
    generators = global_state(), random.getstate(), np.random.get_state()
    if seed is not None:
        random.seed(seed)
        np.random.seed(seed % 2**32)
    before = read_all()
    try:
        yield
    finally:
        found = changes_since(before)
        for each in aspects:
            if each.name in found:
                each.restore(before[each.name])
        restore_global_state(generators[0])
        random.setstate(generators[1])
        np.random.set_state(generators[2])
        report(found)
