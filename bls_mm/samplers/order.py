"""The order in which a pass visits indices, and what a rank gets of it."""

import math
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

from bls_mm.datasets.sample_ids import SampleIds

_CHUNK = 65536


def make_order(size: int, seed: Optional[int]) -> Tensor:
    """All indices in the order of MMEngine's ``DefaultSampler``.

    Args:
        size (int): Number of indices.
        seed (int, optional): Seed of a random order; None sorts them.

    Returns:
        Tensor: Shape (size,), on the CPU; int32 where that is enough, the
        same numbers as in int64 in half of the memory.
    """
    dtype = torch.int32 if size < 2**31 else torch.int64
    if seed is None:
        return torch.arange(size, dtype=dtype)
    generator = torch.Generator()
    generator.manual_seed(seed)
    return torch.randperm(size, generator=generator, dtype=dtype)


def padded(size: int, world_size: int, round_up: bool) -> int:
    """Number of indices, all ranks together, to deal out ``size``.

    Args:
        size (int): Number of indices.
        world_size (int): Number of ranks.
        round_up (bool): Whether all ranks get equally many.
    """
    return math.ceil(size / world_size) * world_size if round_up else size


def deal(order: Tensor, rank: int, world_size: int, round_up: bool) -> Tensor:
    """The share of a rank, as ``DefaultSampler`` deals it out.

    Args:
        order (Tensor): Indices, shape (M,), M at least 1.
        rank (int): The rank.
        world_size (int): Number of ranks.
        round_up (bool): Whether to repeat indices from the start so that all
            ranks get equally many.
    """
    total = padded(len(order), world_size, round_up)
    if total > len(order):
        order = order.repeat(math.ceil(total / len(order)))
    return order[rank:total:world_size]


def filter_order(
    order: Tensor, kept: Tensor, of_index: Optional[Tensor] = None
) -> Tensor:
    """The indices of an order whose samples are kept.

    Args:
        order (Tensor): Indices, int32 or int64, shape (M,), on the CPU.
        kept (Tensor): Which samples to keep, bool, shape (N,), on the CPU.
        of_index (Tensor, optional): Sample of each index. Defaults to None,
            the index itself.

    Returns:
        Tensor: Indices in the same order.
    """
    parts = []
    for part in order.split(_CHUNK):
        ids = part.long()  # as an index has to be, in 8 bytes
        if of_index is not None:
            ids = of_index[ids]
        parts.append(part[kept[ids]])
    return torch.cat(parts)


def shorten_order(
    order: Tensor,
    limit: Callable[[int], int],
    samples: SampleIds,
    seed: Optional[int] = None,
) -> Tuple[Tensor, Tensor]:
    """Leave samples out, with all of their indices, until an order is short.

    Args:
        order (Tensor): Indices, int32 or int64, shape (M,), on the CPU.
        limit (callable): Given the number of indices, how many may stay.
        samples (SampleIds): The samples of the indices.
        seed (int, optional): Seed of which to leave out. Defaults to None,
            the last ones, which are random in a random order.

    Returns:
        tuple[Tensor, Tensor]: Indices in the same order, and the ids of the
        samples left out, int64, shape (L,).
    """
    left_out = torch.empty(0, dtype=torch.int64)
    while limit(len(order)) < len(order):
        size = limit(len(order))
        some = order[size:]
        if seed is not None:
            some = order[make_order(len(order), seed)[size:].long()]
        of_index, ids = samples.of_index, some.long()
        ids = ids if of_index is None else of_index[ids]
        left_out = torch.cat([left_out, ids])
        kept = torch.ones(samples.count, dtype=torch.bool)
        kept[ids] = False
        order = filter_order(order, kept, of_index)
    return order, left_out
