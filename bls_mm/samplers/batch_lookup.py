"""Samples and loss weight of the batch in hand, on the training device."""

from array import array
from itertools import chain
from typing import Any, List, Optional

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from bls_mm.runner.class_swap import original_class
from bls_mm.scores.batch import Batch

from .batch_ids import BatchIds
from .batch_tracker import BatchTracker, Drawn
from .bls_sampler import BLSSampler
from .cut_order import CutOrder

# Batches whose ids are packed into 8 bytes a sample, all at once.
_NOTED_AT_A_TIME = 128


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
        self.tracker = BatchTracker(loader)
        self.sampler = sampler
        self._ids = BatchIds(sampler)
        self._batch_sampler: Any = loader.batch_sampler
        self._device = device
        self._weights: Optional[memoryview] = None
        self._table: Optional[Tensor] = None
        self._each = False
        self._order: Optional[CutOrder] = None
        self._cut: List[Batch] = []
        self._first = 0
        self._drawn = array('q')
        self._recent: List[List[int]] = []
        self._longest = 0
        self._left: Optional[np.ndarray] = None
        self._iterations = 0
        self._latest = self._again = -1

    @property
    def plain(self) -> bool:
        return original_class(self._batch_sampler) is BatchSampler

    @property
    def batch_size(self) -> Optional[int]:
        return find_batch_size(self._batch_sampler)

    def begin_pass(
        self,
        weights: Optional[Tensor],
        skip: int,
        number: int = 0,
        reads_on: bool = False,
        each: bool = False,
    ) -> None:
        """Prepare for the batches of a pass.

        Args:
            weights (Tensor, optional): Weight of every sample's loss, shape
                (N,); None if all are 1.
            skip (int): Batches of the pass that have been trained on.
            number (int): Number of the pass, from 0. Defaults to 0.
            reads_on (bool): Whether its batches come out of the iteration
                over the DataLoader that those of the pass before came out
                of. Defaults to False.
            each (bool): Whether batches have the weight of each sample, too.
                Defaults to False.
        """
        self.tracker.begin_pass(skip, number, reads_on)
        self._each = each
        self._table, self._weights, self._order = weights, None, None
        self._first, self._cut = 0, []
        # Before it reads on, an iteration over the sampler has begun.
        self._iterations = -1 if reads_on else self.sampler.iterations
        self._latest = self._again = -1
        size = self.batch_size
        if not self.plain or size is None:
            self._use_table()
            return
        order = self.sampler.ids_in_order()
        self._order = CutOrder(order, self._device, size, weights, each)

    def _use_table(self) -> None:
        """Look weights up on the host, sample by sample."""
        if self._table is not None:
            # What the sampler did not select is trained on as if unpruned.
            table = self._table.where(self._table > 0, 1.0)
            self._weights = table.cpu().numpy().data

    def find(self, batch: Any) -> Batch:
        """The samples of a batch that reaches the training loop.

        Args:
            batch (object): What the training loop got.

        Raises:
            RuntimeError: If it is not known which samples are in it.
            ValueError: If the batch sampler does not draw from its sampler.
        """
        drawn = self.tracker.find(batch)
        if self._order is None:
            return self._look_up(drawn)
        number = drawn.number
        place = number - self._first
        if not 0 <= place < len(self._cut):
            self._first, self._cut = self._order.cut(number)
            place = number - self._first
        found = self._cut[place] if place < len(self._cut) else None
        if found is None or found.size != len(drawn.indices):
            self._order = None  # the batch size is another one by now
            self._use_table()
            return self._look_up(drawn)
        if number > self._latest:
            self._latest = number
            return found
        # Once more, or late: in no group with those before it.
        self._again -= 1
        return found._replace(group=self._again)

    def _look_up(self, drawn: Drawn) -> Batch:
        start = drawn.number * len(drawn.indices)
        ids = self._ids.find(drawn.indices, start)
        if self.sampler.pruner is not None:  # see `end_pass`
            if self._left is None:  # in the first pass, where little is lost
                self._check_first(ids)
            self._recent.append(ids)
            if len(self._recent) >= _NOTED_AT_A_TIME:
                self._collect()
        if self._weights is None:
            return Batch(ids, len(ids))
        # Of a few numbers this is much faster than indexing an array.
        weights = map(self._weights.__getitem__, ids)
        if not self._each:
            return Batch(ids, len(ids), sum(weights) / len(ids))
        each = list(weights)
        mean = sum(each) / len(ids)
        of_samples = torch.tensor(each, dtype=torch.float32) / mean
        of_samples = of_samples.to(self._device)
        return Batch(ids, len(ids), mean, of_samples=of_samples)

    def _collect(self) -> None:
        self._drawn.extend(chain.from_iterable(self._recent))
        self._recent.clear()

    def _check_first(self, ids: List[int]) -> None:
        if self.sampler.iterations == self._iterations:
            raise ValueError(self._refusal('does not draw from its sampler'))
        self._check_range(min(ids), max(ids))
        self._longest = max(self._longest, len(ids))

    def _check_range(self, least: int, most: int) -> None:
        if least < 0 or most >= self.sampler.samples.count:
            wrong = least if least < 0 else most
            raise ValueError(
                self._refusal(f'yields {wrong}, which is no index')
            )

    def end_pass(self) -> None:
        """Check that batches were made of what was selected.

        A batch sampler may keep samples for the next pass, and fill up one
        batch of a pass.

        Raises:
            ValueError: If the batch sampler took samples that its sampler did
                not yield, or, in the first pass, took them more often and
                nobody else has read the DataLoader.
        """
        self._collect()
        if not self._drawn:
            return
        drawn, self._drawn = np.array(self._drawn), array('q')
        self._check_range(drawn.min(), drawn.max())
        count = self.sampler.samples.count
        yielded = np.bincount(self.sampler.ids_in_order(), minlength=count)
        trained = np.bincount(drawn, minlength=count)
        more = (trained - yielded).clip(0)
        # Others who read the DataLoader leave samples behind in the buckets of
        # some batch samplers: what is selected may then come twice.
        others = self.sampler.iterations - self._iterations > 1
        if self._left is not None or others:
            selected = yielded
            if self._left is not None and len(self._left) == count:
                selected = yielded + self._left
            more[selected > 0] = 0
        if more.sum() > self._longest:
            raise ValueError(
                self._refusal('takes samples that its sampler did not yield')
            )
        self._left = (yielded - trained).clip(0)

    def _refusal(self, what: str) -> str:
        name = original_class(self._batch_sampler).__name__
        return (
            f'`train_dataloader.batch_sampler`: {name} {what}, so nothing '
            'that BLSSampler leaves out would be left out. Train with '
            '`train_dataloader.sampler.pruner=None`, or let it make its '
            'batches of what `self.sampler` yields.'
        )


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


def find_batch_size(batch_sampler: Any) -> Optional[int]:
    """Most samples in a batch; None if that is not one number.

    Args:
        batch_sampler (Sampler): The batch sampler of a DataLoader.
    """
    size = getattr(batch_sampler, 'batch_size', None)
    return size if type(size) is int else None
