"""Distances between sets of points, which training and measuring share."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

ChamferKind = Literal["third-axis", "position-intensity"]


def chamfer(a: Tensor, b: Tensor, kind: ChamferKind) -> Tensor:
    """Return the Chamfer distance of each pair of sets, ``(N,)``: from every point to its nearest in the other set.

    Σᵢ ‖aᵢ − b_nn(i)‖² + Σⱼ ‖bⱼ − a_nn(j)‖² over points (x, y, intensity). By ``third-axis`` intensity counts as a
    third coordinate, and the nearest neighbour is nearest in all three (Fan, Su and Guibas, 2017); by
    ``position-intensity`` it is the one nearest in (x, y), whatever its intensity. Of neighbours equally near the first
    is taken.

    Args:
        a: ``(N, 3, n)``, the features of a point along the second axis, its intensity last.
        b: ``(N, 3, m)``.
        kind: how the nearest neighbour is chosen.
    """
    distances = _squared_distances(a, b)
    nearness = distances if kind == "third-axis" else _squared_distances(a[:, :-1], b[:, :-1])
    from_a = distances.gather(2, nearness.argmin(2, keepdim=True))  # (N, n, 1)
    from_b = distances.gather(1, nearness.argmin(1, keepdim=True))  # (N, 1, m)
    return from_a.sum((1, 2)) + from_b.sum((1, 2))


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return all squared distances, ``(N, n, m)``: from differences, since products would lose the small ones."""
    return (a.unsqueeze(3) - b.unsqueeze(2)).square().sum(1)
