"""SeTa: a window that slides over groups of samples from easy to hard."""

import math
from typing import Optional, Tuple

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import PRUNERS

from .base import (
    Pruner,
    Selection,
    random_subset,
    select_all,
    select_mask,
    select_random,
)
from .kmeans import kmeans_cuts


@PRUNERS.register_module()
class SeTa(Pruner):
    """Drop samples at random, then drop the groups outside a sliding window.

    Args:
        prune_ratio (float, optional): Share of all samples to drop at random,
            in [0, 1). None means 0.1. Defaults to None.
        num_groups (int): Groups of similar score, at least 1.
            Defaults to 5.
        window_scale (float): Share of the groups to train on, in (0, 1].
            Defaults to 0.9.
        delta (float, optional): Share of the passes after which the window
            covers all groups, in [0, 1]. None means 0.875, or 1 with
            ``target_saving``. Defaults to None.
        target_saving (float, optional): Share of all sample visits of the run
            to save, in (0, 1), instead of ``prune_ratio``; see
            :func:`select_seta_share`. Defaults to None.

    References:
        Zhou et al., Scale Efficient Training for Large Datasets, CVPR 2025,
        arXiv 2503.13385, Section 3.
    """

    default_ratio = 0.1

    def __init__(
        self,
        prune_ratio: Optional[float] = None,
        num_groups: int = 5,
        window_scale: float = 0.9,
        delta: Optional[float] = None,
        target_saving: Optional[float] = None,
    ) -> None:
        super().__init__(prune_ratio, delta, target_saving)
        check_range('num_groups', num_groups, 1, math.inf, '[1, inf)')
        if int(num_groups) != num_groups:
            raise ValueError(
                f'`num_groups` should be an integer, but got {num_groups}.'
            )
        check_range('window_scale', window_scale, 0, 1, '(0, 1]')
        self.num_groups = int(num_groups)
        self.window_scale = window_scale

    def select_ratio(
        self, scores: Tensor, generator: torch.Generator, epoch: int
    ) -> Selection:
        if epoch == 0:
            return select_random(scores, self.prune_ratio, generator)
        return select_seta(
            scores,
            self.prune_ratio,
            self.num_groups,
            self.window_scale,
            epoch,
            generator,
        )

    def select_share(
        self,
        scores: Tensor,
        share: float,
        generator: torch.Generator,
        epoch: int,
    ) -> Selection:
        return select_seta_share(
            scores,
            share,
            self.num_groups,
            self.window_scale,
            epoch,
            generator,
        )

    def anneal(self, scores: Tensor, generator: torch.Generator) -> Selection:
        """A random ``1 - prune_ratio`` of all samples; with a target all."""
        if self.target_saving is not None:
            return select_all(scores)
        return select_random(scores, self.prune_ratio, generator)


def select_seta(
    scores: Tensor,
    prune_ratio: float,
    num_groups: int,
    window_scale: float,
    epoch: int,
    generator: torch.Generator,
) -> Selection:
    """Select by the SeTa rule.

    Args:
        scores (Tensor): Shape (N,).
        prune_ratio (float): Share of all samples to drop at random.
        num_groups (int): Number of groups.
        window_scale (float): Share of the groups in the window.
        epoch (int): Number of the pass, which places the window.
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: The samples in the window, all with weight 1.
    """
    total = len(scores)
    size = max(1, round((1 - prune_ratio) * total))
    kept = random_subset(total, size, generator, scores.device)
    inside = in_window(scores[kept], num_groups, window_scale, epoch)
    return select_mask(kept.masked_scatter_(kept.clone(), inside))


def select_seta_share(
    scores: Tensor,
    share: float,
    num_groups: int,
    window_scale: float,
    epoch: int,
    generator: torch.Generator,
) -> Selection:
    """Drop a given share of all samples by the SeTa rule.

    The groups outside of the window are dropped first and then, at random,
    samples inside; where the window is smaller than what has to be kept,
    random samples from outside of it are kept too.

    Args:
        scores (Tensor): Shape (N,).
        share (float): Share of all samples to drop, in [0, 1).
        num_groups (int): Number of groups.
        window_scale (float): Share of the groups in the window.
        epoch (int): Number of the pass, which places the window.
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: ``round((1 - share) * N)`` samples, at least one, all with
        weight 1.
    """
    kept = in_window(scores, num_groups, window_scale, epoch)
    size = max(1, round((1 - share) * len(scores)))
    inside = int(kept.sum())
    if inside > size:
        part = random_subset(inside, size, generator, scores.device)
        kept.masked_scatter_(kept.clone(), part)
    elif inside < size:
        outside = len(scores) - inside
        part = random_subset(outside, size - inside, generator, scores.device)
        kept.masked_scatter_(~kept, part)
    return select_mask(kept)


def in_window(
    scores: Tensor, num_groups: int, window_scale: float, epoch: int
) -> Tensor:
    """Mark the samples in the groups that a pass trains on.

    Args:
        scores (Tensor): Shape (N,), N at least 1.
        num_groups (int): Number of groups; fewer where there are fewer
            different scores.
        window_scale (float): Share of the groups in the window, in (0, 1].
        epoch (int): Number of the pass.

    Returns:
        Tensor: Bool, shape (N,), at least one of them True.
    """
    cuts = kmeans_cuts(scores, num_groups)
    first, last = window(len(cuts) + 1, window_scale, epoch)
    inside = torch.ones_like(scores, dtype=torch.bool)
    if first > 0:
        inside &= scores >= cuts[first - 1]
    if last < len(cuts) + 1:
        inside &= scores < cuts[last - 1]
    return inside


def window(
    num_groups: int, window_scale: float, epoch: int
) -> Tuple[int, int]:
    """The groups ``[first, last)`` that a pass trains on.

    The window moves one group a pass from easy to hard and starts over
    after it has held the hardest.
    """
    size = max(1, round(num_groups * window_scale))
    first = epoch % (num_groups - size + 1)
    return first, first + size
