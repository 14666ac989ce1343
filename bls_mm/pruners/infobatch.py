"""InfoBatch: drop a share of the easy samples, rescale the rest of them."""

import math

import torch
from torch import Tensor

from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, random_subset, select_mask


@PRUNERS.register_module()
class InfoBatch(Pruner):
    """Drop a random share of the samples whose score is below the mean.

    Args:
        prune_ratio (float): Share of the easy samples to drop, in [0, 1).
            Defaults to 0.5.
        delta (float): Share of the passes after which all samples are
            visited with weight 1, in [0, 1]. Defaults to 0.875.

    References:
        Qin et al., InfoBatch, ICLR 2024, arXiv 2303.04947, Section 2.
    """

    def __init__(self, prune_ratio: float = 0.5, delta: float = 0.875) -> None:
        super().__init__(prune_ratio, delta)

    def _select(self, scores: Tensor, generator: torch.Generator) -> Selection:
        return select_infobatch(scores, self.prune_ratio, generator)


def select_infobatch(
    scores: Tensor, prune_ratio: float, generator: torch.Generator
) -> Selection:
    """Select by the InfoBatch rule.

    A sample is easy if its score is below the mean score. Each easy sample
    is dropped with probability ``prune_ratio``; a kept one weighs
    ``1 / (1 - prune_ratio)``, so that the expected gradient stays that of
    all the data. Everyone else is kept with weight 1.

    Args:
        scores (Tensor): Shape (N,).
        prune_ratio (float): Share of the easy samples to drop, in [0, 1).
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: The kept samples and their weights.
    """
    # In float32 the mean of equal scores, and of millions of any, may come
    # out above all of them.
    wide = torch.float32 if scores.device.type == 'mps' else torch.float64
    easy = scores < scores.mean(dtype=wide)
    count = int(easy.sum())
    dropped = _round_at_random(prune_ratio * count, generator)
    chosen = random_subset(count, dropped, generator, scores.device)
    kept = torch.ones_like(easy).masked_scatter_(easy, ~chosen)
    indices, weights = select_mask(kept)
    weights.masked_fill_(easy[kept], 1 / (1 - prune_ratio))
    return Selection(indices, weights)


def _round_at_random(value: float, generator: torch.Generator) -> int:
    """Round so that the expectation is ``value``: unbiased for few samples."""
    draw = torch.rand(1, generator=generator, device=generator.device).item()
    # 1e-9: 0.29 * 100 is 28.999999999999996 and means 29, in every draw.
    whole = math.floor(value + 1e-9)
    return whole + int(draw < value - whole - 1e-9)
