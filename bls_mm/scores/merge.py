"""Merging what the ranks know about the samples."""

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def merge_memory(memory: Tensor) -> None:
    """Give every rank the mean of what the ranks' score rules remember.

    Args:
        memory (Tensor): Float32, shape (M,). Changed in place.
    """
    world_size = get_world_size()
    if world_size > 1 and len(memory):
        all_reduce(memory)
        memory /= world_size


def merge_scores(scores: Tensor, seen: Tensor) -> None:
    """Give every rank the scores of the samples that any rank has seen.

    A sample that one rank has seen gets that rank's score, bit for bit; one
    that several ranks have seen the mean of their scores; one that no rank
    has seen keeps its score. 5 bytes a sample travel.

    Args:
        scores (Tensor): Float32, shape (N,). Changed in place.
        seen (Tensor): Samples that this rank has updated since the last
            merge, uint8 of 0 and 1, shape (N,). Reset to 0 in place.
    """
    world_size = get_world_size()
    if world_size > 1:
        # A byte counts up to 255 ranks.
        counts = seen if world_size < 256 else seen.int()
        sums = torch.where(seen.bool(), scores, torch.zeros_like(scores))
        all_reduce(sums)
        all_reduce(counts)
        scores.copy_(
            torch.where(counts > 0, sums / counts.clamp(min=1), scores)
        )
    seen.zero_()
