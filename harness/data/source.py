"""Sources of data: the user's folder, and the harness's own cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor

from harness.data.decoded_cache import read_or_decode, state_of

T = TypeVar("T")


class Track(Protocol):
    """A progress display for a long computation."""

    def __call__(self, items: Iterable[T], doing: str, total: int) -> Iterable[T]:
        """Pass on ``total`` items, and show the progress of the work that ``doing`` names."""


def untracked(items: Iterable[T], doing: str, total: int) -> Iterable[T]:
    """Show nothing."""
    return items


@dataclass(frozen=True)
class DataSource:
    """Where data is read from.

    Args:
        data_dir: the user's data folder, which is only read; None if none was given.
        cache_dir: the harness's own folder, for downloads and decoded copies.
        announce: shows the user one line, such as what is being downloaded.
        track: shows the progress of a long computation.
        only_at_hand: whether data that would have to be downloaded, or computed for long, are a ``DataError`` instead.
    """

    data_dir: Path | None
    cache_dir: Path
    announce: Callable[[str], None]
    track: Track = untracked
    only_at_hand: bool = False

    def decoded(
        self, name: str, files: Sequence[Path], decode: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return the tensors that ``decode`` reads from ``files``, decoded once and then mapped from the cache.

        Args:
            name: part of the copy's file name. Change it when ``decode`` returns something different.
            files: the files to decode. If a path, a size or a time of change differs, they are decoded again.
            decode: reads and checks the files, and returns CPU tensors by name; its exceptions are passed on.

        Raises:
            OSError: one of the files does not exist.
        """
        return read_or_decode(self.cache_dir / "decoded", name, files, decode, self.announce)

    def digest(self, files: Sequence[Path]) -> str:
        """Return the SHA-256 of the contents of ``files``, in their order; their names are no part of it.

        Raises:
            OSError: a file does not exist or cannot be read.
        """
        return hashlib.sha256("".join(_digest(path, state_of(path)) for path in files).encode()).hexdigest()


@lru_cache(maxsize=1024)
def _digest(path: Path, state: tuple[int, int, int]) -> str:
    """Return the SHA-256 of a file, which is read again if its state has changed."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
