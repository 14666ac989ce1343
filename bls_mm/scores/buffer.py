"""The scores of a training, from the losses of its batches."""

from typing import Any, Dict, List, Optional

import torch
from mmengine import dist
from torch import Tensor, nn

from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.unreduced import ignore_misfit

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
        self._heard = SampleLosses(model) if model is not None else None
        self._updates = ScoreUpdates(
            score,
            self._scores,
            self._seen,
            self._not_finite,
            keeps_losses,
            self._heard.on_misfit if self._heard else ignore_misfit,
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

    def refresh(self, model: Optional[nn.Module] = None) -> None:
        """Look again for what to listen to. To be called once a pass.

        Args:
            model (nn.Module, optional): The model, if it may be another one.
                Defaults to None, the same.
        """
        if self._heard is not None:
            self._heard.refresh(model)

    def expect(self, size: int, weights: Optional[Tensor] = None) -> None:
        """Listen for the losses of the samples of the next batch.

        Args:
            size (int): Number of its samples.
            weights (Tensor, optional): What to multiply the gradient of each
                of them with, shape (size,). Defaults to None, nothing.
        """
        if self._heard is not None:
            self._heard.begin(size, weights)

    def add(self, batch: Batch, loss: Tensor) -> None:
        """Score a batch, now or with those that come.

        Args:
            batch (Batch): The batch.
            loss (Tensor): Its loss, detached, shape ().
        """
        calls: Optional[List[Any]] = None
        if self._heard is not None:
            calls = self._heard.take()
        self._updates.add(batch, loss, calls)

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
