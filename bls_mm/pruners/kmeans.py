"""k-means in one dimension: optimal on a grid, then refined on the data."""

import torch
from torch import Tensor

# Candidate cuts of the search for the optimum: as many at equal distances, at
# equal counts and at the widest gaps, so that neither tails nor peaks nor
# small clusters of the scores are missed.
_GRID = 512
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
    # On the CPU: sums on a GPU are not the same in every run and on all ranks,
    # and PyTorch refuses them where it should be deterministic.
    ordered = values.cpu().sort().values
    edges = _grid(ordered)
    # Sums of the values below each position, relative to the mean so that
    # squares do not cancel.
    wide = ordered.double()
    centred = wide - wide.mean()
    sums = _cumulative(centred)
    squares = _cumulative(centred.square())
    bounds = _optimal_bounds(edges, sums, squares, num_groups)
    bounds = _refine(bounds, centred, sums)
    return ordered[bounds[1:-1]].to(values.device)


def _cumulative(values: Tensor) -> Tensor:
    zero = values.new_zeros(1)
    return torch.cat([zero, values.cumsum(0)])


def _grid(ordered: Tensor) -> Tensor:
    """Positions where a group may start; only where the value changes."""
    size = len(ordered)
    low, high = ordered[0], ordered[-1]
    steps = torch.linspace(0, 1, _GRID + 1)
    by_value = torch.searchsorted(ordered, low + (high - low) * steps)
    by_count = (steps * size).long()
    by_gap = ordered.diff().topk(min(_GRID, size - 1)).indices + 1
    positions = torch.cat([by_value, by_count, by_gap]).clamp(max=size - 1)
    # The first position of the value found, so that no cut splits a tie.
    positions = torch.searchsorted(ordered, ordered[positions])
    end = positions.new_tensor([size])
    return torch.cat([positions.unique(), end])


def _optimal_bounds(
    edges: Tensor, sums: Tensor, squares: Tensor, num_groups: int
) -> Tensor:
    """The best bounds ``[0, ..., N]`` among the edges."""
    num_groups = min(num_groups, len(edges) - 1)
    count = (edges[None, :] - edges[:, None]).clamp(min=1)
    total = sums[edges][None, :] - sums[edges][:, None]
    square = squares[edges][None, :] - squares[edges][:, None]
    cost = square - total.square() / count
    backward = torch.ones_like(cost, dtype=torch.bool).tril()
    cost = cost.masked_fill(backward, float('inf'))
    best = cost[0]
    choices = []
    for _ in range(num_groups - 1):
        best, choice = (best[:, None] + cost).min(0)
        choices.append(choice)
    picked = [torch.tensor(len(edges) - 1)]
    for choice in reversed(choices):
        picked.append(choice[picked[-1]])
    picked.append(torch.zeros_like(picked[0]))
    return edges[torch.stack(picked[::-1])]


def _refine(bounds: Tensor, centred: Tensor, sums: Tensor) -> Tensor:
    """Move the bounds to half way between the means until they rest."""
    for _ in range(_MAX_ROUNDS):
        means = sums[bounds].diff() / bounds.diff()
        halves = (means[1:] + means[:-1]) / 2
        inner = torch.searchsorted(centred, halves)
        moved = torch.cat([bounds[:1], inner, bounds[-1:]])
        if (moved.diff() < 1).any() or torch.equal(moved, bounds):
            break
        bounds = moved
    return bounds
