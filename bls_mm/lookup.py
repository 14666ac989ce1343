"""Samples and loss weight of the batch in hand, on the training device."""

from typing import Any, List, Optional, Tuple

import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from .sampler import BLSSampler
from .tracking import BatchTracker

_CHUNK = 2**20


class BatchLookup:
    """Tell, batch by batch, the ids of its samples and what they weigh.

    A plain ``BatchSampler`` cuts the order of a pass into equal pieces. Then
    the order is put on the device once a pass, and looking a batch up is a
    slice. Where a batch sampler regroups indices, those of each batch travel.

    Args:
        loader (DataLoader): The training DataLoader.
        sampler (BLSSampler): Its sampler.
        device (torch.device): Where to look up.

    Attributes:
        tracker (BatchTracker): Follows the batches that are drawn.
        plain (bool): Whether batches are pieces of the sampler's order.
        batch_size (int, optional): Most samples in a batch, if it is one
            number.
    """

    def __init__(
        self, loader: DataLoader, sampler: BLSSampler, device: torch.device
    ) -> None:
        batch_sampler: Any = loader.batch_sampler
        size = getattr(batch_sampler, 'batch_size', None)
        self.plain = type(batch_sampler) is BatchSampler
        self.batch_size: Optional[int] = size if type(size) is int else None
        self.tracker = BatchTracker(loader)
        self._sampler = sampler
        self._device = device
        self._place = 0
        self._ids = torch.empty(0)
        self._weights: Optional[Tensor] = None

    def begin_pass(self, weights: Optional[Tensor], skip: int) -> None:
        """Prepare for the batches of a pass.

        Args:
            weights (Tensor, optional): Weight of every sample's loss, shape
                (N,); None if all are 1.
            skip (int): Batches of the pass that have been trained on.
        """
        self.tracker.arm(skip)
        self._place = skip
        self._weights = weights
        if self.plain and self.batch_size is not None:
            self._ids = self._sampler.ids_in_order().to(self._device)
            if weights is not None:
                self._weights = mean_weights(
                    weights, self._ids, self.batch_size
                )

    def next(self) -> Tuple[Tensor, Optional[Tensor]]:
        """The next batch that reaches the training loop.

        Returns:
            tuple: Ids of its samples, int64, shape (B,), and their mean
            weight, shape (), or None if all weigh 1.
        """
        indices = self.tracker.pop()
        if not self.plain or self.batch_size is None:
            ids = self._travelled(indices)
            if self._weights is None:
                return ids, None
            return ids, self._weights[ids].mean()
        place, size = self._place, self.batch_size
        self._place += 1
        ids = self._ids[place * size : (place + 1) * size].long()
        if self._weights is None:
            return ids, None
        return ids, self._weights[place]

    def _travelled(self, indices: List[Any]) -> Tensor:
        ids = self._sampler.ids_of(indices)
        if self._device.type == 'cuda':
            ids = ids.pin_memory()  # else the copy would wait for the device
        return ids.to(self._device, non_blocking=True)


def mean_weights(weights: Tensor, ids: Tensor, batch_size: int) -> Tensor:
    """Mean weight of each batch of a pass.

    Args:
        weights (Tensor): Weight of every sample, float32, shape (N,).
        ids (Tensor): Samples of the pass in order, int32 or int64, (M,).
        batch_size (int): Samples in a batch; the last may have fewer.

    Returns:
        Tensor: Float32, shape (ceil(M / batch_size),).
    """
    means = []
    for part in ids.split(max(1, _CHUNK // batch_size) * batch_size):
        found = weights[part.long()]
        full = len(found) // batch_size * batch_size
        means.append(found[:full].view(-1, batch_size).mean(1))
        if full < len(found):
            means.append(found[full:].mean()[None])
    return torch.cat(means) if means else weights[:0]
