"""Pairwise sums and nearest neighbours in float64, a few rows at a time: the matrix of all pairs is never stored."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from harness_metrics.quality.jackknife import groups

_chunk = 256  # rows


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return all Euclidean distances, ``(N, M)``; computed from differences, so that equal points have distance 0."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def by_rows(a: Tensor, of_rows: Callable[[Tensor, slice], Tensor], chunk: int = _chunk) -> Tensor:
    """Apply ``of_rows`` to ``chunk`` rows of ``a`` at a time, with their slice, and concatenate the results."""
    starts = range(0, len(a), chunk)
    return torch.cat([of_rows(a[start : start + chunk], slice(start, start + chunk)) for start in starts])


def radii(x: Tensor, k: int, chunk: int = _chunk) -> Tensor:
    """Return the distance of each point to its k-th nearest other point, ``(N,)``; a duplicate is at distance 0."""

    def kth(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, x)
        found[:, place].fill_diagonal_(math.inf)
        return found.topk(k, largest=False).values.amax(1)

    return by_rows(x, kth, chunk)


def nearest_left_out(a: Tensor, b: Tensor, chunk: int = _chunk) -> tuple[Tensor, Tensor]:
    """Return the distance of each row of ``a`` to the nearest row of ``b``, ``(N,)``, and without each group of rows.

    The latter is ``(N, G)``. Distances are computed from differences.
    """
    parts = min(groups, len(b))

    def least(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, b)
        return torch.stack([found[:, each::parts].amin(1) for each in range(parts)], 1)

    closest = by_rows(a, least, chunk)  # (N, G)
    two, which = closest.topk(min(2, parts), largest=False)
    first = torch.arange(parts, device=a.device) == which[:, :1]
    return two[:, 0], torch.where(first, two[:, -1:], two[:, :1])


def nearest(a: Tensor, b: Tensor, chunk: int = _chunk) -> Tensor:
    """Return the distance of each row of ``a`` to the nearest row of ``b``, ``(N,)``.

    The nearest row is found by a matrix product, which is fast; its distance is computed from differences, which are
    exact.
    """
    squares = b.square().sum(1)

    def least(rows: Tensor, place: slice) -> Tensor:
        index = (squares - 2 * rows @ b.T).argmin(1)
        closest: Tensor = (rows - b[index]).norm(dim=1)
        return closest

    return by_rows(a, least, chunk)


def radii_left_out(x: Tensor, k: int, chunk: int = _chunk) -> Tensor:
    """Return ``radii`` without one group of the jackknife at a time, ``(N, G)``."""
    parts = min(groups, len(x))

    def kth(rows: Tensor, place: slice) -> Tensor:
        found = distances(rows, x)
        found[:, place].fill_diagonal_(math.inf)
        columns = [found[:, each::parts] for each in range(parts)]
        closest = [each.topk(min(k, each.shape[1]), largest=False).values for each in columns]
        without = [torch.cat(closest[:each] + closest[each + 1 :], 1) for each in range(parts)]
        return torch.stack([each.topk(k, largest=False).values.amax(1) for each in without], 1)

    return by_rows(x, kth, chunk)


def sums_over_others(x: Tensor, of: Callable[[Tensor, Tensor], Tensor], chunk: int = _chunk) -> Tensor:
    """Return Σ_{j ≠ i} of(xᵢ, xⱼ) for each i, over j in each group of the jackknife, ``(N, G)``."""

    def sums(rows: Tensor, place: slice) -> Tensor:
        found = of(rows, x)
        found[:, place].fill_diagonal_(0)
        return sums_of_groups(found)

    return by_rows(x, sums, chunk)


def sums_of_groups(x: Tensor) -> Tensor:
    """Return the sums over the columns ``(N, M)`` of each group of the jackknife, ``(N, G)``."""
    parts = min(groups, x.shape[1])
    return torch.stack([x[:, each::parts].sum(1) for each in range(parts)], 1)


def mean_of_pairs(x: Tensor, of: Callable[[Tensor, Tensor], Tensor], chunk: int = _chunk) -> tuple[float, Tensor]:
    """Return the mean of of(xᵢ, xⱼ) over pairs i ≠ j, and the same without one group at a time, ``(G,)``."""
    between = sums_of_groups(sums_over_others(x, of, chunk).T).T  # (G, G), from group to group
    total, n = between.sum(), len(x)
    sizes = torch.tensor([len(x[each :: len(between)]) for each in range(len(between))], device=x.device)
    without = total - between.sum(0) - between.sum(1) + between.diagonal()
    kept = n - sizes
    return float(total / (n * (n - 1))), without / (kept * (kept - 1))
