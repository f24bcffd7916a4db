"""Where data may come from: the user's folder, and the harness's own cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from torch import Tensor

from harness.data.decoded_cache import read_or_decode

T = TypeVar("T")


class Track(Protocol):
    """Something that shows how far a long computation has got."""

    def __call__(self, items: Iterable[T], doing: str, total: int) -> Iterable[T]:
        """Pass on the items as they come, of which there will be ``total``; ``doing`` says in words what is done."""


def untracked(items: Iterable[T], doing: str, total: int) -> Iterable[T]:
    """Show nothing."""
    return items


@dataclass(frozen=True)
class DataSource:
    """Where data may come from.

    Args:
        data_dir: the user's folder (``--data-dir``), which is only read; None where none was given.
        cache_dir: the harness's own folder, into which a data set may download and where decoded copies are kept.
        announce: takes one line for the user, such as what is being downloaded.
        track: shows how far something has got that takes long.
    """

    data_dir: Path | None
    cache_dir: Path
    announce: Callable[[str], None]
    track: Track = untracked

    def decoded(
        self, name: str, files: Sequence[Path], decode: Callable[[], Mapping[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return what ``decode`` makes of ``files``: CPU tensors by name, decoded once and then mapped from the cache.

        Args:
            name: part of the copy's file name. Give another when ``decode`` comes to return something else.
            files: what is decoded. A change of path, size or modification time means decoding again.
            decode: reads and checks the files; what it raises is passed on.

        Raises:
            OSError: one of the files is not there.
        """
        return read_or_decode(self.cache_dir / "decoded", name, files, decode, self.announce)
