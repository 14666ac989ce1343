"""Dynamic random pruning, the control every score has to beat."""

import torch
from torch import Tensor

from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, select_random


@PRUNERS.register_module()
class RandomPrune(Pruner):
    """Drop a new random share of all samples in every pruned pass.

    Args:
        prune_ratio (float, optional): Share of all samples to drop, in [0, 1).
            None means 0.5. Defaults to None.
        delta (float, optional): Share of the passes after which all samples
            are visited, in [0, 1]. None means 0.875, or 1 with
            ``target_saving``. Defaults to None.
        target_saving (float, optional): Share of all sample visits of the run
            to save, in (0, 1), instead of ``prune_ratio``. Defaults to None.
    """

    def select_ratio(
        self, scores: Tensor, generator: torch.Generator, epoch: int
    ) -> Selection:
        return select_random(scores, self.prune_ratio, generator)

    def select_share(
        self,
        scores: Tensor,
        share: float,
        generator: torch.Generator,
        epoch: int,
    ) -> Selection:
        return select_random(scores, share, generator)
