"""The contract of a data set."""

from __future__ import annotations

from typing import Protocol

from harness.data.dataset import Data
from harness.data.source import DataSource


class Dataset(Protocol):
    """A data set: a class built as ``Dataset(config)``. One with settings has a frozen dataclass ``Config``."""

    def load(self, source: DataSource) -> Data:
        """Return the data.

        Raises:
            DataError: it is missing, incomplete or corrupt.
        """
