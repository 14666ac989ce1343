"""InfoBatch: drop a share of the easy samples, rescale the rest of them."""

import math

import torch
from torch import Tensor

from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, lowest, random_subset, select_mask


@PRUNERS.register_module()
class InfoBatch(Pruner):
    """Drop a random share of the samples whose score is below the mean.

    Args:
        prune_ratio (float, optional): Share of the easy samples to drop, in
            [0, 1). None stands for 0.5. Defaults to None.
        delta (float, optional): Share of the passes after which all samples
            are visited with weight 1, in [0, 1]. None stands for 0.875, with
            ``target_saving`` for 1. Defaults to None.
        target_saving (float, optional): Share of the visits of the whole run
            to save, in (0, 1), in place of ``prune_ratio``; see
            :func:`select_infobatch_share`. Defaults to None.

    References:
        Qin et al., InfoBatch, ICLR 2024, arXiv 2303.04947, Section 2.
    """

    def _select(self, scores: Tensor, generator: torch.Generator) -> Selection:
        return select_infobatch(scores, self.prune_ratio, generator)

    def _select_share(
        self, scores: Tensor, share: float, generator: torch.Generator
    ) -> Selection:
        return select_infobatch_share(scores, share, generator)


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
    return _thin_out(_below_mean(scores), prune_ratio, generator)


def select_infobatch_share(
    scores: Tensor,
    share: float,
    generator: torch.Generator,
    max_ratio: float = 0.75,
) -> Selection:
    """Drop a given share of all samples by the InfoBatch rule.

    The ratio is the one that drops as many of the samples below the mean. If
    that is more than ``max_ratio``, and weights more than
    ``1 / (1 - max_ratio)``, the samples with the lowest scores are the easy
    ones, as many as are needed. Where there are too few samples for that the
    ratio rises above ``max_ratio``.

    Args:
        scores (Tensor): Shape (N,).
        share (float): Share of all samples to drop, in [0, 1).
        generator (torch.Generator): Source of randomness.
        max_ratio (float): The most of the easy samples to drop.
            Defaults to 0.75.

    Returns:
        Selection: The kept samples and their weights.
    """
    total = len(scores)
    easy = _below_mean(scores)
    if share * total > max_ratio * int(easy.sum()):
        count = min(total, math.ceil(share / max_ratio * total))
        easy = lowest(scores, count)
    ratio = share * total / max(1, int(easy.sum()))
    return _thin_out(easy, ratio, generator)


def _below_mean(scores: Tensor) -> Tensor:
    # In float32 the mean of equal scores, and of millions of any, may come
    # out above all of them.
    wide = torch.float32 if scores.device.type == 'mps' else torch.float64
    return scores < scores.mean(dtype=wide)


def _thin_out(
    easy: Tensor, prune_ratio: float, generator: torch.Generator
) -> Selection:
    """Drop a share of the easy samples, bool, shape (N,); weigh the rest."""
    count = int(easy.sum())
    dropped = _round_at_random(prune_ratio * count, generator)
    chosen = random_subset(count, dropped, generator, easy.device)
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
