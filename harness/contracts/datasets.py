"""The contract of a data set."""

from __future__ import annotations

from typing import Protocol

from harness.data.dataset import Data
from harness.data.source import DataSource


class Dataset(Protocol):
    """A data set: a class built as ``Dataset(config)``. One with settings has a frozen dataclass ``Config``.

    One that reads files of the data folder can also have a method ``content_in(source) -> Content | None``. It is
    called when a run is planned, so it must neither download nor decode. It returns None if the files are the published
    ones, or are not there yet; otherwise their content, which then identifies results beside the name of the data set.
    """

    def load(self, source: DataSource) -> Data:
        """Return the data.

        Raises:
            DataError: it is missing, incomplete or corrupt.
        """
