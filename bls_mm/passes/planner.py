"""Deciding, pass by pass, which samples a run visits."""

import math
from typing import Callable, Optional, Tuple

import torch
from torch import Tensor

from bls_mm.pruners import Pruner, Selection, selection_generator
from bls_mm.pruners.weights import weights_of, with_carried
from bls_mm.samplers.bls_sampler import BLSSampler

from .budget import (
    Budget,
    Pass,
    annealing_start,
    cut_length,
    is_pruned,
    iterations_left,
)
from .target import largest_target, prunable_visits, share_to_drop


class PassPlanner:
    """Select the samples of each pass and tell the sampler.

    Args:
        sampler (BLSSampler): The sampler of the training DataLoader.
        num_batches (callable): Number of batches that the DataLoader makes
            of what the sampler yields.
        steps (int): Iterations of the unpruned run.
        batch_size (int, optional): The most samples in a batch, if known.
            Defaults to None.
        stream (bool): Whether passes form a stream of full batches, see
            :meth:`BLSSampler.attach`. Defaults to False.

    Attributes:
        budget (Budget): Passes and steps of the unpruned run.
        current (Pass): The pass in hand.
        weights (Tensor, optional): Weight of every sample's loss in this
            pass, float32, shape (N,), 0 for pruned ones; None if all are 1.
        carried_weights (Tensor): Weights of ``sampler.carried``, from the
            pass that selected them, float32, shape (C,).
        visited (int): Samples visited by the end of this pass.

    Raises:
        ValueError: If there is not a single batch, or the pruner has a
            ``target_saving`` that the run cannot reach.
    """

    def __init__(
        self,
        sampler: BLSSampler,
        num_batches: Callable[[], int],
        steps: int,
        batch_size: Optional[int] = None,
        stream: bool = False,
    ) -> None:
        sampler.attach(batch_size if stream else None)
        self.sampler = sampler
        self._num_batches = num_batches
        self._batch_size = batch_size
        if stream and batch_size is not None:
            full = batch_size * sampler.world_size
            self.budget = Budget(steps, sampler.full_size, full)
            self._samples_per_pass = sampler.full_size
        else:
            self.budget = Budget(steps, num_batches())
            self._samples_per_pass = self._samples_in(num_batches())
        if not self.budget.numerator:
            raise ValueError(
                '`train_dataloader` yields no batch: its dataset of '
                f'{len(sampler.dataset)} samples is smaller than a batch, '
                'and `drop_last` is set.'
            )
        self.weights: Optional[Tensor] = None
        self.carried_weights = torch.empty(0)
        self._left_over = sampler.carried
        self.skip_to(0)
        self._check_target()

    @property
    def delta(self) -> float:
        """Share of the passes after which pruning stops."""
        pruner = self.sampler.pruner
        return 0.0 if pruner is None else pruner.delta

    @property
    def unpruned(self) -> int:
        """Samples that the unpruned run has visited by this step."""
        return self._visits(self.current.last_step)

    @property
    def iterations_left(self) -> int:
        """Predicted iterations from the start of this pass to the end."""
        return iterations_left(self.current, self.budget, self.delta)

    def skip_to(self, step: int) -> None:
        """Take the steps before ``step`` as made, by an unpruned run."""
        number = 0
        while self.budget.end(number) <= step < self.budget.steps:
            number += 1
        self.current = Pass(number - 1, step, step, 0)
        self.visited = self._visits(step)

    def next_pass(self, scores: Tensor) -> Pass:
        """Select the samples of the next pass.

        Args:
            scores (Tensor): Scores, float32, shape (N,).

        Returns:
            Pass: The pass, which is ``current`` from now on.
        """
        number = self.current.number + 1
        first_step = self.current.step
        selection = self._select(scores, number)
        self.carried_weights = self._weights_at(self._left_over)
        self.sampler.carried = self._left_over
        self.weights = weights_of(selection, len(scores))
        self._begin(number, first_step)
        if not self.current.length and not len(self._left_over):
            self.weights = None  # `drop_last` took all that was selected
            self._begin(number, first_step)
        self.visited += self._samples_in(self.current.length)
        return self.current

    def resume_pass(self, number: int, first_step: int, done: int) -> None:
        """Take up a pass from a checkpoint.

        ``weights``, ``carried_weights`` and ``sampler.carried`` should have
        been set to what they were in that pass.

        Args:
            number (int): Number of the pass.
            first_step (int): Steps before it.
            done (int): Iterations of it that have run.
        """
        self._begin(number, first_step)
        self.current.done = done

    @property
    def kept(self) -> Tuple[int, int]:
        """Indices that this pass selects, and those of an unpruned one."""
        return self.sampler.selected, self.sampler.full_size

    @property
    def prunes(self) -> bool:
        """Whether any pass of the run is pruned."""
        return annealing_start(self.budget.passes, self.delta) > 1

    @property
    def batch_weights(self) -> Optional[Tensor]:
        """``weights``, with those of carried samples that this pass prunes."""
        if self.weights is None or not len(self.sampler.carried):
            return self.weights
        ids = self._ids(self.sampler.carried)
        return with_carried(self.weights, ids, self.carried_weights)

    def _weights_at(self, indices: Tensor) -> Tensor:
        weights = self.batch_weights
        if weights is None:
            return torch.ones(len(indices))
        return weights[self._ids(indices).to(weights.device)].cpu()

    def _ids(self, indices: Tensor) -> Tensor:
        of_index = self.sampler.samples.of_index
        return indices if of_index is None else of_index[indices]

    def _select(self, scores: Tensor, number: int) -> Optional[Selection]:
        """The selection of a pass; None is everything with weight 1."""
        pruner = self.sampler.pruner
        if pruner is None or number == 0:
            return None
        seed = self.sampler.seed
        generator = selection_generator(seed, number, scores.device)
        pruner.epoch = number
        if is_pruned(number, self.budget.passes, pruner.delta):
            pruner.share = self._share_to_drop(pruner)
            return pruner.select(scores, generator)
        return pruner.anneal(scores, generator)

    def _share_to_drop(self, pruner: Pruner) -> Optional[float]:
        """What a pass should drop to reach the target; None if there is none.

        To be called at the start of the pass, before it counts.
        """
        if pruner.target_saving is None:
            return None
        return share_to_drop(
            pruner.target_saving,
            self._visits(self.budget.steps),
            self.unpruned - self.visited,
            prunable_visits(
                self.budget,
                self.delta,
                self._samples_per_pass,
                self.current.last_step,
            ),
        )

    def _check_target(self) -> None:
        pruner = self.sampler.pruner
        if pruner is None or pruner.target_saving is None:
            return
        largest = largest_target(
            self.budget, self.delta, self._samples_per_pass
        )
        if pruner.target_saving > largest + 1e-9:
            raise ValueError(
                '`train_dataloader.sampler.pruner.target_saving` should be at '
                f'most {math.floor(largest * 1000 + 1e-6) / 1000} in a run of '
                f'{self.budget.passes} passes with `delta={pruner.delta}`, '
                f'but got {pruner.target_saving}.'
            )

    def _begin(self, number: int, first_step: int) -> None:
        """Fix the indices and the length of a pass."""
        whole_end = self.budget.full_end(number)
        kept = None if self.weights is None else (self.weights > 0).cpu()
        self._left_over = self.sampler.begin_pass(
            number, kept, whole_end - first_step
        )
        last_step = self.budget.end(number)
        length = cut_length(
            self._num_batches(), first_step, whole_end, last_step
        )
        self.current = Pass(number, first_step, last_step, length)

    def _samples_in(self, batches: int) -> int:
        """Samples in the first batches of this pass, all ranks together."""
        size = self.sampler.pass_size
        if self._batch_size is None:
            return round(size * batches / max(1, self._num_batches()))
        # All but the last of a pass are full.
        return min(size, batches * self._batch_size * self.sampler.world_size)

    def _visits(self, steps: int) -> int:
        return self.budget.visits(steps, self._samples_per_pass)
