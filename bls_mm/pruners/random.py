"""Dynamic random pruning, the control that every score has to beat."""

import torch
from torch import Tensor

from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, select_random


@PRUNERS.register_module()
class RandomPrune(Pruner):
    """Drop another random share of all samples in every pruned pass.

    Args:
        prune_ratio (float): Share of all samples to drop, in [0, 1).
            Defaults to 0.5.
        delta (float): Share of the passes after which all samples are
            visited, in [0, 1]. Defaults to 0.875.
    """

    def __init__(self, prune_ratio: float = 0.5, delta: float = 0.875) -> None:
        super().__init__(prune_ratio, delta)

    def _select(self, scores: Tensor, generator: torch.Generator) -> Selection:
        return select_random(scores, self.prune_ratio, generator)
