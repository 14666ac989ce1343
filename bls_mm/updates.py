"""Scoring batches, many at a time."""

from typing import List, Optional

import torch
from torch import Tensor

from .scores import Score

# An operation within a training costs about 5 us on a CPU whatever it does,
# and a launch on a GPU, so an update for 32 batches costs hardly more than for
# one.
_BATCHES_AT_A_TIME = 32


class ScoreUpdates:
    """Keep batches and their losses until it is worth to update the scores.

    The scores come out as if every batch had been scored in its turn: only
    batches of one group, which have no sample in common, wait together.

    Args:
        score (Score): The rule.
        scores (Tensor): Float32, shape (N,). Changed in place.
        seen (Tensor): Where to mark the samples with a 1, uint8, shape (N,);
            of shape (0,) if nobody wants to know.
        waits (bool): Whether batches may wait. Their losses are kept as they
            are, not copied. Defaults to True.
    """

    def __init__(
        self, score: Score, scores: Tensor, seen: Tensor, waits: bool = True
    ) -> None:
        self._score = score
        self._scores = scores
        self._seen = seen
        waits = waits and score.takes_several
        self._most = _BATCHES_AT_A_TIME if waits else 1
        self._ids: List[Tensor] = []
        self._losses: List[Tensor] = []
        self._group: Optional[int] = None

    def add(self, ids: Tensor, loss: Tensor, group: Optional[int]) -> None:
        """Score a batch, now or later.

        Args:
            ids (Tensor): Its samples, int64, shape (B,).
            loss (Tensor): Its loss or losses, shape () or (B,).
            group (int, optional): Batches with the same number have no
                sample in common. None has something in common with all.
        """
        if self._ids and (
            group is None
            or group != self._group
            or len(ids) != len(self._ids[0])
            or loss.ndim != self._losses[0].ndim
        ):
            self.flush()
        self._group = group
        self._ids.append(ids)
        self._losses.append(loss)
        if group is None or len(self._ids) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Update the scores by all batches that wait."""
        if not self._ids:
            return
        ids, loss = self._ids[0], self._losses[0]
        if len(self._ids) > 1:
            ids, loss = torch.stack(self._ids), torch.stack(self._losses)
        self._score.update(self._scores, ids, loss)
        if len(self._seen):
            self._seen.index_fill_(0, ids.flatten(), 1)
        self._ids.clear()
        self._losses.clear()
