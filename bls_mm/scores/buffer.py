"""The scores of a training, from the losses of its batches."""

from typing import Any, Dict, List, Optional

import torch
from mmengine import dist
from torch import Tensor

from bls_mm.losses.calls import Call
from bls_mm.losses.unreduced import OnMisfit, ignore_misfit

from .base import Score
from .batch import Batch
from .merge import merge_memory, merge_scores
from .pending import NonFiniteCount, ScoreUpdates


class ScoreBuffer:
    """Keep the scores of all samples, batch by batch.

    Args:
        score (Score): The rule. What it remembers starts anew.
        size (int): Number of samples N.
        device (torch.device): Where the losses are.
        parallel (bool): Whether other ranks see other batches.
        keeps_losses (bool): Whether losses stay as they are until the next
            batches have been scored; those of a compiled model may be
            overwritten. Defaults to True.
        on_misfit (callable, optional): What to call if the losses of samples
            cannot be told, see :func:`losses_of_samples`. Defaults to nothing.

    Attributes:
        rule (Score): The rule.
        merged (bool): Whether all ranks know the same.

    Raises:
        ValueError: If the memory of the rule is not one-dimensional.
    """

    def __init__(
        self,
        score: Score,
        size: int,
        device: torch.device,
        parallel: bool,
        keeps_losses: bool = True,
        on_misfit: OnMisfit = ignore_misfit,
    ) -> None:
        self.rule = score
        self.merged = True
        if score.memory.ndim != 1:
            raise ValueError(
                f'`{type(score).__name__}.memory` should have one dimension, '
                f'but has the shape {tuple(score.memory.shape)}.'
            )
        score.memory = torch.zeros(len(score.memory), device=device)
        self._scores = torch.zeros(size, dtype=torch.float32, device=device)
        self._seen = torch.zeros(
            size if parallel else 0, dtype=torch.uint8, device=device
        )
        self._not_finite = NonFiniteCount(device)
        self._updates = ScoreUpdates(
            score,
            self._scores,
            self._seen,
            self._not_finite,
            keeps_losses,
            on_misfit,
        )

    @property
    def scores(self) -> Tensor:
        """Float32, shape (N,), with all batches so far."""
        self._updates.flush()
        return self._scores

    @property
    def size(self) -> int:
        """Number of scores."""
        return len(self._scores)

    @property
    def device(self) -> torch.device:
        return self._scores.device

    def add(
        self,
        batch: Batch,
        loss: Tensor,
        calls: Optional[List[Call]] = None,
    ) -> None:
        """Score a batch, now or with those that come.

        Args:
            batch (Batch): The batch.
            loss (Tensor): Its loss, detached, shape ().
            calls (list[Call], optional): What :class:`SampleLosses` heard of
                it. Defaults to None, nothing.
        """
        self.merged = False
        self._updates.add(batch, loss, calls)

    def merge(self) -> None:
        """Let all ranks know the same. To be called by all of several."""
        merge_scores(self.scores, self._seen)
        merge_memory(self.rule.memory)
        self.merged = True

    def take_not_finite(self) -> int:
        """Losses of all ranks that were not finite, since the last call."""
        self._updates.flush()
        count = self._not_finite.take()
        dist.all_reduce(count)
        return int(count)

    def state_dict(self) -> Dict[str, Any]:
        """What the run knows about its samples.

        Returns:
            dict: ``scores``, float32, shape (N,), and ``memory`` of the rule,
            float32, shape (M,); copies on the CPU.
        """
        return dict(
            scores=self.scores.detach().to('cpu', copy=True),
            memory=self.rule.memory.detach().to('cpu', copy=True),
        )

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Take over scores, and the memory unless it is of another rule.

        Args:
            state (dict): What :meth:`state_dict` returned, validated.
        """
        self.scores.copy_(state['scores'])
        known = state['memory']
        # A rule may remember more than it did when the file was saved.
        if len(known) <= len(self.rule.memory):
            self.rule.memory[: len(known)].copy_(known)
