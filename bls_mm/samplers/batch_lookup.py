"""Samples and loss weight of the batch in hand, on the training device."""

from itertools import count, islice, repeat
from typing import Any, Iterable, Iterator, Optional

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from bls_mm.pruners.weights import mean_weights
from bls_mm.scores.batch import Batch

from .batch_tracker import BatchTracker
from .bls_sampler import BLSSampler

# Samples whose batches are cut out in advance, all at once.
_CUT = 2**16


class BatchLookup:
    """Tell, batch by batch, the ids of its samples and what they weigh.

    A plain ``BatchSampler`` cuts the order of a pass into equal pieces. Then
    the order is put on the device once a pass and cut there, for many batches
    at a time. Where a batch sampler regroups indices, each batch is looked up
    on the host, and its ids stay there until they are scored.

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
        self._weights: Optional[memoryview] = None
        self._pieces: Optional[Iterator[Batch]] = None

    def begin_pass(self, weights: Optional[Tensor], skip: int) -> None:
        """Prepare for the batches of a pass.

        Args:
            weights (Tensor, optional): Weight of every sample's loss, shape
                (N,); None if all are 1.
            skip (int): Batches of the pass that have been trained on.
        """
        self.tracker.arm(skip)
        self._weights = self._pieces = None
        if self.plain and self.batch_size is not None:
            order = self._sampler.ids_in_order()
            ids = order.to(self._device)
            if weights is not None:
                weights = mean_weights(weights, ids, self.batch_size)
            self._pieces = _pieces(
                order.numpy(), ids, weights, self.batch_size, skip
            )
        elif weights is not None:
            self._weights = weights.cpu().numpy().data

    def next(self) -> Batch:
        """The next batch that reaches the training loop."""
        indices = self.tracker.pop()
        if self._pieces is not None:
            return next(self._pieces)
        ids = self._sampler.to_ids(indices)
        if self._weights is None:
            return Batch(ids)
        # Of a few numbers this is much faster than indexing an array.
        total = sum(map(self._weights.__getitem__, ids))
        return Batch(ids, total / len(ids))


def _pieces(
    order: np.ndarray,
    ids: Tensor,
    weights: Optional[Tensor],
    batch_size: int,
    skip: int,
) -> Iterator[Batch]:
    """Cut the order of a pass into batches.

    Args:
        order (ndarray): Samples in order, int32 or int64, shape (M,).
        ids (Tensor): The same on the device.
        weights (Tensor, optional): Weight of each batch.
        batch_size (int): Samples in a batch; the last may have fewer.
        skip (int): Batches to leave out at the start.

    Yields:
        Batch: A batch with its ids on the device.
    """
    batches = max(1, _CUT // batch_size)
    length = -(-len(order) // batch_size)
    # From where they would be without `skip`, so that a resumed run scores the
    # same batches at once and its scores come out the same to the bit.
    for first in range(skip // batches * batches, length, batches):
        part = slice(first * batch_size, (first + batches) * batch_size)
        of_part: Iterable[Optional[Tensor]] = repeat(None)
        if weights is not None:
            of_part = weights[first : first + batches].unbind()
        distinct = not (np.diff(np.sort(order[part])) == 0).any()
        groups = repeat(first) if distinct else count(first)
        found = map(Batch, ids[part].long().split(batch_size), of_part, groups)
        yield from islice(found, max(0, skip - first), None)


def find_sampler(loader: DataLoader) -> BLSSampler:
    """The sampler below the batch sampler, however it was configured.

    Raises:
        ValueError: If it is another one, or there is none.
    """
    if loader.batch_sampler is None:
        raise ValueError(
            '`train_dataloader.dataset` is an IterableDataset, or has no '
            'batch sampler: its samples have no index to score.'
        )
    sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    if not isinstance(sampler, BLSSampler):
        raise ValueError(
            f'`train_dataloader.sampler` is a {type(sampler).__name__}, but '
            'BLSHook needs a BLSSampler. Set `train_dataloader = dict('
            "sampler=dict(type='BLSSampler'))`."
        )
    return sampler
