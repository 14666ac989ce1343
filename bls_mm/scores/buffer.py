"""The scores of a training, from the losses of its batches."""

from typing import Any, List, Optional

import torch
from mmengine import dist
from torch import Tensor, nn

from bls_mm.losses.module_calls import SampleLosses

from .base import Score
from .merge import merge_memory, merge_scores
from .pending import Ids, NonFiniteCount, ScoreUpdates


class Scoring:
    """Keep the scores of all samples, batch by batch.

    Args:
        score (Score): The rule. What it remembers starts anew.
        size (int): Number of samples N.
        device (torch.device): Where the losses are.
        parallel (bool): Whether other ranks see other batches.
        model (nn.Module, optional): Model to listen to for the losses of
            single samples. Defaults to None.
        keeps_losses (bool): Whether losses stay as they are until the next
            batches have been scored; those of a compiled model may be
            overwritten. Defaults to True.

    Attributes:
        rule (Score): The rule.
    """

    def __init__(
        self,
        score: Score,
        size: int,
        device: torch.device,
        parallel: bool,
        model: Optional[nn.Module] = None,
        keeps_losses: bool = True,
    ) -> None:
        self.rule = score
        score.memory = torch.zeros_like(score.memory, device=device)
        self._scores = torch.zeros(size, dtype=torch.float32, device=device)
        self._seen = torch.zeros(
            size if parallel else 0, dtype=torch.uint8, device=device
        )
        self._not_finite = NonFiniteCount(device)
        self._updates = ScoreUpdates(
            score, self._scores, self._seen, self._not_finite, keeps_losses
        )
        self._heard = SampleLosses(model) if model is not None else None
        self._ids: Ids = []

    @property
    def scores(self) -> Tensor:
        """Float32, shape (N,), with all batches so far."""
        self._updates.flush()
        return self._scores

    def begin(self, ids: Ids) -> None:
        """Expect the loss of a batch of these samples."""
        self._ids = ids
        if self._heard is not None:
            self._heard.begin(len(ids))

    def end(self, loss: Tensor, group: Optional[int]) -> None:
        """Score the batch, see :meth:`ScoreUpdates.add`.

        Args:
            loss (Tensor): Its loss, detached, shape ().
            group (int, optional): Its group.
        """
        calls: Optional[List[Any]] = None
        if self._heard is not None:
            calls = self._heard.take()
        self._updates.add(self._ids, loss, group, calls)

    def merge(self) -> None:
        """Let all ranks know the same. To be called by all of several."""
        merge_scores(self.scores, self._seen)
        merge_memory(self.rule.memory)

    def take_not_finite(self) -> int:
        """Losses of all ranks that were not finite, since the last call."""
        self._updates.flush()
        count = self._not_finite.take()
        dist.all_reduce(count)
        return int(count)

    def close(self) -> None:
        """Stop listening to the model."""
        if self._heard is not None:
            self._heard.close()
