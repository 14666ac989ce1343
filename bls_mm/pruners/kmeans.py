"""k-means in one dimension: optimal on a grid, then refined on the data."""

from typing import List

import numpy as np
import torch
from torch import Tensor

# Candidate cuts of the search for the optimum: as many at equal distances, at
# equal counts and at the widest gaps, so that neither tails nor peaks nor
# small clusters of the scores are missed.
_GRID = 256
_MAX_ROUNDS = 100


def kmeans_cuts(values: Tensor, num_groups: int) -> Tensor:
    """Split values into the groups of least squared distance to their mean.

    Deterministic. Neighbouring groups are separated by a cut; a value equal
    to a cut belongs to the upper group, so that equal values stay together.

    Args:
        values (Tensor): Shape (N,), finite, N at least 1.
        num_groups (int): Number of groups, at least 1.

    Returns:
        Tensor: Ascending cuts, values themselves, shape (K - 1,), for K
        non-empty groups: ``num_groups``, or fewer where there are fewer
        different values.

    References:
        The search over the grid is the dynamic programme of Wang and Song,
        Ckmeans.1d.dp, The R Journal 3(2), 2011; the refinement is Lloyd's.
    """
    # The CPU of torch below 2.2 has no `topk` of half-precision values.
    wide = torch.promote_types(values.dtype, torch.float32)
    ordered = _sorted(values.to(wide))
    sums = _Sums(ordered, _grid(ordered))
    bounds = _refine(ordered, sums, _optimal_bounds(sums, num_groups))
    return ordered[bounds[1:-1].to(ordered.device)].to(values.dtype)


def _sorted(values: Tensor) -> Tensor:
    """Ascending values; on the CPU without the indices that torch adds."""
    if values.device.type == 'cpu':
        return torch.from_numpy(np.sort(values.numpy()))
    return values.sort().values


def _grid(ordered: Tensor) -> Tensor:
    """Positions where a group may start; only where the value changes."""
    size = len(ordered)
    low, high = ordered[0], ordered[-1]
    steps = torch.linspace(0, 1, _GRID + 1, device=ordered.device)
    by_value = torch.searchsorted(ordered, low + (high - low) * steps)
    by_count = (steps * size).long()
    by_gap = _widest_gaps(ordered)
    positions = torch.cat([by_value, by_count, by_gap]).clamp(max=size - 1)
    # The first position of the value found, so that no cut splits a tie.
    positions = torch.searchsorted(ordered, ordered[positions])
    end = positions.new_tensor([size])
    return torch.cat([positions.unique(), end]).cpu()


def _widest_gaps(ordered: Tensor, part: int = 2**18) -> Tensor:
    """Positions after the widest gaps.

    Part by part: on a CPU `topk` takes 16 bytes for each value.
    """
    gaps, positions = [], []
    for start in range(0, len(ordered) - 1, part):
        widths = ordered[start : start + part + 1].diff()
        found = widths.topk(min(_GRID, len(widths)))
        gaps.append(found.values)
        positions.append(found.indices + start + 1)
    if not gaps:
        return torch.empty(0, dtype=torch.int64, device=ordered.device)
    best = torch.cat(gaps).topk(min(_GRID, len(ordered) - 1)).indices
    return torch.cat(positions)[best]


class _Sums:
    """Sums of values below a position, and of their squares below an edge.

    Kept at the edges only, since cumulative sums of all values would take 16
    bytes each, and on a GPU they are not the same in every run.

    Args:
        ordered (Tensor): Ascending values, shape (N,).
        edges (Tensor): Positions ``[0, ..., N]``, int64, on the CPU.
    """

    def __init__(self, ordered: Tensor, edges: Tensor) -> None:
        self.edges = edges
        self._ordered = ordered
        wide = torch.float32 if ordered.device.type == 'mps' else torch.float64
        self.mean = ordered.mean(dtype=wide)
        places: List[int] = edges.tolist()
        moments = [torch.zeros(2, dtype=wide, device=ordered.device)]
        for start, stop in zip(places, places[1:]):
            segment = self._centred(start, stop)
            moments.append(
                torch.stack([segment.sum(), segment.square().sum()])
            )
        self.sums, self.squares = torch.stack(moments).cpu().cumsum(0).T

    def below(self, positions: Tensor) -> Tensor:
        """Sums below positions, relative to the mean, shape as theirs."""
        nearest = torch.searchsorted(self.edges, positions, right=True) - 1
        rest = [
            self._centred(int(start), int(stop)).sum()
            for start, stop in zip(self.edges[nearest], positions)
        ]
        return self.sums[nearest] + torch.stack(rest).cpu()

    def _centred(self, start: int, stop: int) -> Tensor:
        """Relative to the mean, so that squares do not cancel."""
        return self._ordered[start:stop].to(self.mean.dtype) - self.mean


def _optimal_bounds(sums: _Sums, num_groups: int) -> Tensor:
    """The best bounds ``[0, ..., N]`` among the edges."""
    edges = sums.edges
    num_groups = min(num_groups, len(edges) - 1)
    # In place: new memory for as many numbers takes longer than the numbers.
    count = (edges[None, :] - edges[:, None]).clamp_(min=1)
    total = sums.sums[None, :] - sums.sums[:, None]
    cost = sums.squares[None, :] - sums.squares[:, None]
    cost.sub_(total.square_().div_(count))
    backward = torch.ones_like(cost, dtype=torch.bool).tril_()
    cost.masked_fill_(backward, float('inf'))
    best, through = cost[0], total
    choices = []
    for _ in range(num_groups - 1):
        torch.add(best[:, None], cost, out=through)
        best, choice = through.min(0)
        choices.append(choice)
    picked = [torch.tensor(len(edges) - 1)]
    for choice in reversed(choices):
        picked.append(choice[picked[-1]])
    picked.append(torch.zeros_like(picked[0]))
    return edges[torch.stack(picked[::-1])]


def _refine(ordered: Tensor, sums: _Sums, bounds: Tensor) -> Tensor:
    """Move the bounds to half way between the means until they rest."""
    mean = sums.mean.cpu()
    for _ in range(_MAX_ROUNDS):
        means = sums.below(bounds).diff() / bounds.diff()
        halves = (means[1:] + means[:-1]) / 2 + mean
        inner = torch.searchsorted(ordered, _round_up(halves, ordered))
        moved = torch.cat([bounds[:1], inner.cpu(), bounds[-1:]])
        if (moved.diff() < 1).any() or torch.equal(moved, bounds):
            break
        bounds = moved
    return bounds


def _round_up(values: Tensor, other: Tensor) -> Tensor:
    """To dtype and device of another tensor, never to a lower value.

    Then as many values of that dtype are below as before.
    """
    rounded = values.to(other.dtype)
    higher = torch.nextafter(rounded, torch.full_like(rounded, torch.inf))
    return torch.where(rounded < values, higher, rounded).to(other.device)
