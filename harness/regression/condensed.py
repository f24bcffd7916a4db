"""Per-example values condensed into means over groups of examples, so that a small file is enough to pair them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.contracts.events import Record, Values
from harness.results.comparison import stderr_not_over_examples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

most_groups = 64


@dataclass(frozen=True)
class Condensed:
    """The means of a metric's values over groups of test examples.

    The groups depend on the ids of the examples alone, so they are the same for every model and version.

    Args:
        examples: a hash of the ids; two cells are paired if it is equal.
        means: ``(g,)``, of groups whose sizes differ by one at most.
        measurement_stderr: the part of the standard error that per-example values do not show.
    """

    examples: str
    means: NDArray[np.float64]
    measurement_stderr: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, with ten digits of each mean."""
        means = [float(f"{mean:.10g}") for mean in self.means]
        return {"examples": self.examples, "means": means, "measurement_stderr": self.measurement_stderr}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Condensed:
        """Build it from ``as_json``.

        Raises:
            KeyError: a field is missing.
            TypeError: a field has another type.
            ValueError: a mean is not a number.
        """
        import numpy as np

        means = np.array(fields["means"], dtype=np.float64)
        return cls(str(fields["examples"]), means, float(fields["measurement_stderr"]))


def condense(record: Record, values: Values) -> Condensed:
    """Condense the per-example values of a record into means over 64 groups, or as many as there are examples.

    Examples are sorted by a hash of their ids and cut into groups of equal size. So the groups are like random ones,
    and the spread of their means gives the standard error of the mean over examples.
    """
    import numpy as np

    ids = np.asarray(values.ids, dtype=np.int64)
    order = np.lexsort((ids, _mixed(ids)))
    parts = np.array_split(np.asarray(values.values, dtype=np.float64)[order], min(most_groups, len(ids)))
    examples = hashlib.sha256(ids[order].astype("<i8").tobytes()).hexdigest()[:16]
    return Condensed(examples, np.array([part.mean() for part in parts]), stderr_not_over_examples(record, values))


def _mixed(ids: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Hash integers by the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    import numpy as np

    mixed = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: NDArray[np.uint64] = mixed ^ (mixed >> np.uint64(31))
    return hashed
