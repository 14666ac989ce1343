"""InfoBatch: drop a share of the easy samples, up-weight those kept."""

import math

import torch
from torch import Tensor

from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, random_subset, select_mask

# Of a target: scores that decide what is easy, and the most of the easy
# samples to drop, for weights of 20 at most.
_LOOKED_AT = 2**16
_MAX_RATIO = 0.95


@PRUNERS.register_module()
class InfoBatch(Pruner):
    """Drop a random share of the samples whose score is below the mean.

    Args:
        prune_ratio (float, optional): Share of the easy samples to drop, in
            [0, 1). None means 0.5. Defaults to None.
        delta (float, optional): Share of the passes after which all samples
            are visited with weight 1, in [0, 1]. None means 0.875, or 1 with
            ``target_saving``. Defaults to None.
        target_saving (float, optional): Share of all sample visits of the run
            to save, in (0, 1), instead of ``prune_ratio``; see
            :func:`select_infobatch_share`. Defaults to None.

    References:
        Qin et al., InfoBatch, ICLR 2024, arXiv 2303.04947, Section 2.
    """

    def select_ratio(
        self, scores: Tensor, generator: torch.Generator, epoch: int
    ) -> Selection:
        return select_infobatch(scores, self.prune_ratio, generator)

    def select_share(
        self,
        scores: Tensor,
        share: float,
        generator: torch.Generator,
        epoch: int,
    ) -> Selection:
        return select_infobatch_share(scores, share, generator)


def select_infobatch(
    scores: Tensor, prune_ratio: float, generator: torch.Generator
) -> Selection:
    """Select by the InfoBatch rule.

    A sample is easy if its score is below the mean score. Each easy sample is
    dropped with probability ``prune_ratio``; a kept one weighs
    ``1 / (1 - prune_ratio)``, so that the expected gradient stays that of all
    the data. All other samples are kept with weight 1.

    Args:
        scores (Tensor): Shape (N,).
        prune_ratio (float): Share of the easy samples to drop, in [0, 1).
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: The kept samples and their weights.
    """
    return _thin_out(_below_mean(scores), prune_ratio, generator)


def select_infobatch_share(
    scores: Tensor, share: float, generator: torch.Generator
) -> Selection:
    """Drop a given share of all samples by the InfoBatch rule.

    Samples up to :func:`easy_limit` are easy. Only easy samples are dropped,
    at random; the easy samples kept are up-weighted to compensate.

    Args:
        scores (Tensor): Shape (N,).
        share (float): Share of all samples to drop, in [0, 1).
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: The kept samples and their weights.
    """
    easy = scores <= easy_limit(scores, share)
    ratio = share * len(scores) / int(easy.sum())
    if ratio > _MAX_RATIO:  # of a few scores, or of a sample that misleads
        easy = torch.ones_like(easy)
        ratio = share
    return _thin_out(easy, ratio, generator)


def easy_limit(scores: Tensor, share: float) -> float:
    r"""The highest score of an easy sample, for gradients of least variance.

    If ``D`` samples are to be dropped, of ``m`` easy ones, each easy sample is
    dropped with probability :math:`D / m` and kept with the weight
    :math:`m / (m - D)`. If scores approximate gradient norms, this adds to the
    variance of their sum

    .. math:: \frac{D}{m - D} \sum_{i \text{ easy}} s_i^2

    which is minimal for one ``m``, where the ``m`` samples with the lowest
    scores are easy. If all scores are equal, all samples are easy, which is
    random pruning. Those below the mean are easy in any case, as without a
    share: fewer would have less variance where few samples hold most of the
    loss, but with a large weight each, of which a batch only sees the mean.

    Args:
        scores (Tensor): Shape (N,), N at least 1. Scores below 0 are taken
            relative to the lowest.
        share (float): Share of all samples to drop, ``D / N``, in [0, 1).

    Returns:
        float: One of the scores. Above 65,536 scores, every k-th is used,
        which is accurate enough for the border.

    References:
        Ours. That the norm of the gradient is the best measure for drawing
        samples: Zhao and Zhang, Stochastic Optimization with Importance
        Sampling, ICML 2015.
    """
    stride = -(-len(scores) // _LOOKED_AT)
    ordered = scores[::stride].cpu().double().sort().values
    squares = (ordered - ordered[0].clamp(max=0)).square().cumsum(0)
    below_mean = int(_below_mean(ordered).sum())
    # At least one is left of these.
    first = max(math.floor(share * len(ordered)), below_mean - 1)
    left = torch.arange(first + 1, len(ordered) + 1) - share * len(ordered)
    added = squares[first:] / left
    # Of equal ones the last: fewer of more easy samples have to be dropped.
    best = int((added == added.min()).nonzero().max())
    return float(ordered[first + best])


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
    dropped = min(dropped, len(easy) - 1)  # a pass visits something
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
