"""The order of a pass, cut into batches."""

from itertools import count, repeat
from typing import Iterable, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from bls_mm.pruners.weights import mean_weights
from bls_mm.scores.batch import Batch

# Samples whose batches are cut out in advance, all at once.
_CUT = 2**16


class CutOrder:
    """Cut the order of a pass into the batches of a plain ``BatchSampler``.

    Many at a time, and from where they would be if nothing was skipped, so
    that a resumed run scores the same batches at once and its scores come out
    the same to the bit.

    Args:
        order (Tensor): Samples in order, int32 or int64, shape (M,), on the
            CPU.
        device (torch.device): Where the batches should be.
        batch_size (int): Samples in a batch; the last may have fewer.
        weights (Tensor, optional): Weight of every sample, shape (N,), on the
            device; None if all are 1.
        each (bool): Whether batches have the weight of each sample, too.
    """

    def __init__(
        self,
        order: Tensor,
        device: torch.device,
        batch_size: int,
        weights: Optional[Tensor],
        each: bool,
    ) -> None:
        self._order = order.numpy()
        self._ids = order.to(device)
        self._batch_size = batch_size
        self._means: Optional[Tensor] = None
        if weights is not None:
            self._means = mean_weights(weights, self._ids, batch_size)
        self._table = weights if each else None

    def cut(self, number: int) -> Tuple[int, List[Batch]]:
        """Cut out a batch and its neighbours.

        Args:
            number (int): Number of the batch in the pass.

        Returns:
            tuple[int, list[Batch]]: Number of the first of them; batches from
            that on, without the one asked for if the pass has ended before.
        """
        size = self._batch_size
        at_a_time = max(1, _CUT // size)
        first = number - number % at_a_time
        part = slice(first * size, (first + at_a_time) * size)
        ids = self._ids[part].long()
        pieces = ids.split(size)
        sizes = [size] * len(pieces)
        sizes[-1] = len(pieces[-1])
        order = np.sort(self._order[part])
        groups = count(first) if (np.diff(order) == 0).any() else repeat(first)
        of_batches: Iterable[Optional[Tensor]] = repeat(None)
        of_samples: Iterable[Optional[Tensor]] = repeat(None)
        if self._means is not None:
            means = self._means[first : first + at_a_time]
            of_batches = means.unbind()
            if self._table is not None:
                of_each = means.repeat_interleave(size)[: len(ids)]
                of_samples = (self._table[ids] / of_each).split(size)
        batches = map(Batch, pieces, sizes, of_batches, groups, of_samples)
        return first, list(batches)
