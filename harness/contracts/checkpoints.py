"""The contract of a checkpoint: where long work keeps its state, so that it can resume after an interruption."""

from __future__ import annotations

from typing import Any, Protocol

State = dict[str, Any]


class Checkpoint(Protocol):
    """Keeps one state of a fit or a measurement; ``save`` is called whenever it ``is_due``."""

    def load(self) -> State | None:
        """Return the state that was kept, or None to start from the beginning."""

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""

    def save(self, state: State, done: str) -> None:
        """Keep a state in place of the one before.

        Args:
            state: numbers, strings and tensors, in lists and dictionaries.
            done: how much of the work is done, in words.

        Raises:
            StoreError: the disk is full or the folder cannot be written to.
        """

    def remove(self) -> None:
        """Delete the state: the work has ended."""
