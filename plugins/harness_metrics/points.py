"""What metrics of point sets ask of the data."""

from __future__ import annotations

from harness import DataInfo, NotApplicable


def require_points(info: DataInfo) -> None:
    """Check that examples are sets of points (x, y, intensity).

    Raises:
        NotApplicable: they are not.
    """
    if info.support != "points":
        raise NotApplicable(f"it compares sets of points, and the data is {info.support}")
    features, _ = info.as_points()
    if features != 3:
        raise NotApplicable(f"it compares points (x, y, intensity), and these have {features} features")
