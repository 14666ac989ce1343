"""Scoring batches, many at a time."""

from typing import Any, Iterator, List, Optional, Set

import numpy as np
import torch
from torch import Tensor

from bls_mm.losses.calls import Call
from bls_mm.losses.unreduced import (
    OnMisfit,
    ignore_misfit,
    losses_of_samples,
)

from .base import Score
from .batch import Batch

# An operation within a training costs about 5 us on a CPU whatever it does,
# and a launch on a GPU, so an update for many batches costs hardly more than
# for one.
BATCHES_AT_A_TIME = 128
# Most numbers to keep of the predictions that the losses of samples take.
_PREDICTIONS_AT_A_TIME = 2**20

_LOSSES_AT_A_TIME = 64


class NonFiniteCount:
    """Count losses that are not finite.

    Many at a time, as one costs as much as half of a score update.

    Args:
        device (torch.device): Where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.int64, device=device)
        self._losses: List[Tensor] = []
        self._waiting = 0

    def add(self, losses: Tensor) -> None:
        """Note losses, detached, shape (K,). They are kept for a while."""
        self._losses.append(losses)
        self._waiting += len(losses)
        if self._waiting >= _LOSSES_AT_A_TIME:
            self._flush()

    def take(self) -> Tensor:
        """The count since the last call, int64, shape ()."""
        if self._losses:
            self._flush()
        count = self._count.clone()
        self._count.zero_()
        return count

    def _flush(self) -> None:
        self._count += (~torch.cat(self._losses).isfinite()).sum()
        self._losses.clear()
        self._waiting = 0


class ScoreUpdates:
    """Keep batches and their losses until it is worth to update the scores.

    The scores come out as if every batch had been scored in its turn: only
    batches of one group, which have no sample in common, wait together.

    Args:
        score (Score): The rule.
        scores (Tensor): Float32, shape (N,). Changed in place.
        seen (Tensor): Where to mark the samples with a 1, uint8, shape (N,);
            of shape (0,) if nobody wants to know.
        not_finite (NonFiniteCount): Where to count losses.
        waits (bool): Whether batches may wait. Their losses are kept as they
            are, not copied. Defaults to True.
        on_misfit (callable, optional): What to call if the losses of samples
            cannot be told, see :func:`losses_of_samples`. Defaults to nothing.
    """

    def __init__(
        self,
        score: Score,
        scores: Tensor,
        seen: Tensor,
        not_finite: NonFiniteCount,
        waits: bool = True,
        on_misfit: OnMisfit = ignore_misfit,
    ) -> None:
        self._score = score
        self._scores = scores
        self._seen = seen
        self._not_finite = not_finite
        self._waits = waits and score.takes_several
        self._on_misfit = on_misfit
        self._most = 1
        self._ids: List[Any] = []
        self._losses: List[Tensor] = []
        self._calls: List[List[Call]] = []
        self._group: Optional[int] = None
        self._size = 0

    def add(
        self,
        batch: Batch,
        loss: Tensor,
        calls: Optional[List[Call]] = None,
    ) -> None:
        """Score a batch, now or later.

        Args:
            batch (Batch): The batch. All batches have their ids on the
                device, or all in lists, where groups are looked for.
            loss (Tensor): Its loss, shape ().
            calls (list[Call], optional): What :class:`SampleLosses` heard of
                it. Defaults to None, the loss stands in for the losses of
                its samples.
        """
        if self._ids and (
            batch.group != self._group
            or batch.size != self._size
            or (calls is None) == bool(self._calls)
        ):
            self.flush()
        if not self._ids:
            self._group, self._size = batch.group, batch.size
            self._most = self._most_to_keep(calls)
        self._ids.append(batch.ids)
        self._losses.append(loss)
        if calls is not None:
            self._calls.append(calls)
        if len(self._ids) >= self._most:
            self.flush()

    def _most_to_keep(self, calls: Optional[List[Call]]) -> int:
        """How many batches like a first one may wait together."""
        if not self._waits:
            return 1
        if calls is None:
            return BATCHES_AT_A_TIME
        size = max(1, calls[0].predictions.numel())
        return min(BATCHES_AT_A_TIME, _PREDICTIONS_AT_A_TIME // size)

    def flush(self) -> None:
        """Update the scores by all batches that wait."""
        if not self._ids:
            return
        loss = torch.stack(self._losses)
        self._not_finite.add(loss)
        if self._calls:
            loss = losses_of_samples(
                self._calls, loss, self._size, self._on_misfit
            )
        if isinstance(self._ids[0], Tensor):
            self._update(torch.stack(self._ids), loss)
        else:
            ids = self._on_device(self._ids)
            for part in _disjoint(self._ids):
                self._update(ids[part], loss[part])
        self._ids.clear()
        self._losses.clear()
        self._calls.clear()

    def _update(self, ids: Tensor, loss: Tensor) -> None:
        if len(ids) == 1:
            ids, loss = ids[0], loss[0]
        self._score.update(self._scores, ids, loss)
        if len(self._seen):
            self._seen.index_fill_(0, ids.flatten(), 1)

    def _on_device(self, batches: List[List[int]]) -> Tensor:
        ids = torch.from_numpy(np.array(batches, dtype=np.int64))
        if self._scores.is_cuda:
            ids = ids.pin_memory()  # else the copy would wait for the device
        return ids.to(self._scores.device, non_blocking=True)


def _disjoint(batches: List[List[int]]) -> Iterator[slice]:
    """Batches that follow each other and have no sample in common."""
    members: Set[int] = set()
    first = 0
    for i, batch in enumerate(batches):
        if not members.isdisjoint(batch):
            yield slice(first, i)
            first = i
            members.clear()
        members.update(batch)
    yield slice(first, len(batches))
