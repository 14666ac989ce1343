"""Samples and loss weight of the batch in hand, on the training device."""

from array import array
from itertools import count, repeat
from typing import Any, Iterable, List, Optional

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader

from bls_mm.pruners.weights import mean_weights
from bls_mm.runner.class_swap import original_class
from bls_mm.scores.batch import Batch

from .batch_tracker import BatchTracker, Drawn
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
        self.tracker = BatchTracker(loader)
        self.sampler = sampler
        self._batch_sampler: Any = loader.batch_sampler
        self._device = device
        self._weights: Optional[memoryview] = None
        self._table: Optional[Tensor] = None
        self._each = False
        self._pieces: Optional[_Pieces] = None
        self._drawn = array('q')
        self._longest = 0
        self._left: Optional[np.ndarray] = None
        self._iterations = 0
        self._latest = self._again = -1

    @property
    def plain(self) -> bool:
        return original_class(self._batch_sampler) is BatchSampler

    @property
    def batch_size(self) -> Optional[int]:
        size = getattr(self._batch_sampler, 'batch_size', None)
        return size if type(size) is int else None

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
        self._table, self._weights, self._pieces = weights, None, None
        # Before it reads on, an iteration over the sampler has begun.
        self._iterations = -1 if reads_on else self.sampler.iterations
        self._latest = self._again = -1
        size = self.batch_size
        if not self.plain or size is None:
            self._use_table()
            return
        order = self.sampler.ids_in_order()
        ids = order.to(self._device)
        means = None
        if weights is not None:
            means = mean_weights(weights, ids, size)
        table = weights if each else None
        self._pieces = _Pieces(order.numpy(), ids, means, size, table)

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
        if self._pieces is not None:
            piece = self._pieces.find(drawn.number)
            if piece is not None and len(piece.ids) == len(drawn.indices):
                if drawn.number > self._latest:
                    self._latest = drawn.number
                    return piece
                # Once more, or late: in no group with those before it.
                self._again -= 1
                return piece._replace(group=self._again)
            self._pieces = None  # the batch size is another one by now
            self._use_table()
        return self._look_up(drawn)

    def _look_up(self, drawn: Drawn) -> Batch:
        start = drawn.number * len(drawn.indices)
        ids = self.sampler.to_ids(drawn.indices, start)
        self._note(ids)
        if self._weights is None:
            return Batch(ids)
        # Of a few numbers this is much faster than indexing an array.
        weights = list(map(self._weights.__getitem__, ids))
        mean = sum(weights) / len(ids)
        if not self._each:
            return Batch(ids, mean)
        of_samples = torch.tensor(weights, dtype=torch.float32) / mean
        return Batch(ids, mean, of_samples=of_samples.to(self._device))

    def _note(self, ids: List[int]) -> None:
        """Remember what the pass trains on; see :meth:`end_pass`."""
        if self.sampler.pruner is None:
            return
        if self._left is None:  # in the first pass, where little is lost
            self._check_first(ids)
        self._drawn.extend(ids)

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


class _Pieces:
    """The order of a pass, cut into batches.

    Many at a time, and from where they would be if nothing was skipped, so
    that a resumed run scores the same batches at once and its scores come out
    the same to the bit.

    Args:
        order (ndarray): Samples in order, int32 or int64, shape (M,).
        ids (Tensor): The same on the device.
        weights (Tensor, optional): Weight of each batch.
        batch_size (int): Samples in a batch; the last may have fewer.
        table (Tensor, optional): Weight of every sample, shape (N,), if each
            has a weight of its own. Defaults to None.
    """

    def __init__(
        self,
        order: np.ndarray,
        ids: Tensor,
        weights: Optional[Tensor],
        batch_size: int,
        table: Optional[Tensor] = None,
    ) -> None:
        self._order = order
        self._ids = ids
        self._weights = weights
        self._table = table
        self._batch_size = batch_size
        self._at_a_time = max(1, _CUT // batch_size)
        self._first = -1
        self._cut: List[Batch] = []

    def find(self, number: int) -> Optional[Batch]:
        """A batch by its number in the pass; None if there is none."""
        place = number - self._first
        if not 0 <= place < self._at_a_time or self._first < 0:
            place = number % self._at_a_time
            self._cut_from(number - place)
        return self._cut[place] if place < len(self._cut) else None

    def _cut_from(self, first: int) -> None:
        size = self._batch_size
        part = slice(first * size, (first + self._at_a_time) * size)
        of_part: Iterable[Optional[Tensor]] = repeat(None)
        if self._weights is not None:
            of_part = self._weights[first : first + self._at_a_time].unbind()
        order = np.sort(self._order[part])
        groups = count(first) if (np.diff(order) == 0).any() else repeat(first)
        ids = self._ids[part].long()
        of_samples: Iterable[Optional[Tensor]] = repeat(None)
        if self._table is not None and self._weights is not None:
            means = self._weights[first : first + self._at_a_time]
            means = means.repeat_interleave(size)[: len(ids)]
            of_samples = (self._table[ids] / means).split(size)
        pieces = ids.split(size)
        self._cut = list(map(Batch, pieces, of_part, groups, of_samples))
        self._first = first


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
