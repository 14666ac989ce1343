"""Deciding, pass by pass, which samples a run visits."""

from collections import deque
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Deque, Dict, NamedTuple, Optional, Tuple

import torch
from torch import Tensor

from bls_mm.pruners import Selection
from bls_mm.pruners.weights import dense_weights, with_carried
from bls_mm.samplers.bls_sampler import BLSSampler

from .budget import (
    Budget,
    Pass,
    annealing_start,
    cut_length,
    iterations_left,
)
from .forecast import Forecast, forecast
from .selection import Progress, select_pass
from .target import check_target


class Beginning(NamedTuple):
    """How a pass begins.

    Attributes:
        is_new (bool): Whether it begins with its first batch; False where a
            resumed run goes on in it.
        skip (int): Batches of it that have been trained on.
        weights (Tensor, optional): Weight of every sample's loss in this
            pass, float32, shape (N,), 0 for samples that it does not visit;
            None if all are 1.
        reads_on (bool): Whether it was selected before its turn, so that
            the iteration over the DataLoader that asked for it goes on with
            its batches. Defaults to False.
    """

    is_new: bool
    skip: int
    weights: Optional[Tensor]
    reads_on: bool = False


class Planned(NamedTuple):
    """A pass that has been selected.

    Attributes:
        current (Pass): The pass.
        weights (Tensor, optional): As those of the planner.
        carried_weights (Tensor): As those of the planner.
        visited (int): Samples visited by its end.
        indices (dict): ``pass_state`` of the sampler.
    """

    current: Pass
    weights: Optional[Tensor]
    carried_weights: Tensor
    visited: int
    indices: Dict[str, Any]


class PassPlanner:
    """Select the samples of each pass and hand them to the sampler.

    Args:
        sampler (BLSSampler): The sampler of the training DataLoader.
        num_batches (callable): Number of batches that the DataLoader makes
            of what the sampler yields.
        steps (int): Iterations of the unpruned run.
        batch_size (int, optional): The most samples in a batch, if known.
            Defaults to None.
        stream (bool): Whether passes form a stream of full batches, see
            :meth:`BLSSampler.attach`. Defaults to False.
        by_epoch (bool): Whether the run ends after a number of passes, rather
            than of iterations. Defaults to True.

    Attributes:
        budget (Budget): Passes and steps of the unpruned run.
        current (Pass): The pass in hand.
        weights (Tensor, optional): Weight of every sample's loss in this
            pass, float32, shape (N,), 0 for pruned ones; None if all are 1.
        carried_weights (Tensor): Weights of ``sampler.carried``, from the
            pass that selected them, float32, shape (C,).
        visited (int): Samples visited by the end of this pass.
        first_scored (int): Number of the first pass that the scores know of.

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
        by_epoch: bool = True,
    ) -> None:
        self._stream = stream
        self._by_epoch = by_epoch
        self._attach(sampler, num_batches, batch_size)
        self.budget = Budget(steps, *self._pass_length())
        self.weights: Optional[Tensor] = None
        self.carried_weights = torch.empty(0)
        self._ahead: Deque[Planned] = deque()
        self.visited = 0
        self.skip_to(0)
        check_target(sampler.pruner, self.budget, self._samples_per_pass)

    def _attach(
        self,
        sampler: BLSSampler,
        num_batches: Callable[[], int],
        batch_size: Optional[int],
    ) -> None:
        sampler.attach(batch_size if self._stream else None)
        self.sampler = sampler
        self._num_batches = num_batches
        self._batch_size = batch_size
        self._sizes = sampler.sizes
        self._samples_per_pass = sampler.full_size
        if not self._stream or batch_size is None:
            self._samples_per_pass = self._samples_in(num_batches())

    def _pass_length(self) -> Tuple[int, int]:
        """Iterations of an unpruned pass, as a fraction.

        Raises:
            ValueError: If there are none.
        """
        if self._stream and self._batch_size is not None:
            full = self._batch_size * self.sampler.world_size
            return self.sampler.full_size, full
        batches = self._num_batches()
        if not batches:
            raise ValueError(
                '`train_dataloader` yields no batch: its dataset of '
                f'{len(self.sampler.dataset)} samples is smaller than a '
                'batch, and `drop_last` is set.'
            )
        return batches, 1

    def follow(
        self,
        sampler: BLSSampler,
        num_batches: Callable[[], int],
        batch_size: Optional[int],
    ) -> None:
        """Go on with what the training loop really reads.

        Where the sampler is another one, or the batch size, the size of the
        dataset or of an inner sampler's next pass has changed, passes have
        another length from now on. The pass in hand goes on if the sampler is
        another one of the same samples.

        Args:
            sampler (BLSSampler): The sampler.
            num_batches (callable): See above.
            batch_size (int, optional): See above.
        """
        before = self.sampler
        sizes, batch = self._sizes, self._batch_size
        number, done = self.current.number, self.current.done
        goes_on = done < self.current.length
        sampler.seed = before.seed
        sampler.look_ahead(number if goes_on else number + 1)
        if sampler is before and (sizes, batch) == (sampler.sizes, batch_size):
            return
        left_over = before.carried if goes_on else before.left_over
        if goes_on:
            self.visited -= self._samples_in(self.current.length)
        # From the pass in hand on, if nothing of it has been trained on yet.
        first = number + (done > 0 or not goes_on)
        step = (
            self.current.first_step
            if first == number
            else (self.current.last_step)
        )
        first_visits = self._visits(step)
        self._ahead.clear()
        self._attach(sampler, num_batches, batch_size)
        same_data = sizes.samples == self._sizes.samples
        if same_data:
            sampler.left_over = left_over
        else:
            self.weights = None
            self.first_scored = first
        if (sizes, batch) != (self._sizes, batch_size):
            self._change_length(first, step, first_visits)
        if goes_on:
            self._begin_pass(number, self.current.first_step)
            self.current.done = min(done, self.current.length)
            self.visited += self._samples_in(self.current.length)

    def _change_length(
        self, number: int, first_step: int, first_visits: int
    ) -> None:
        """Give the passes from one on the length that they have now."""
        passes = self.budget.passes
        length = self._pass_length()
        steps = self.budget.steps
        if self._by_epoch:
            steps = first_step + (passes - number) * length[0]
        self.budget = Budget(steps, *length, number, first_step, first_visits)

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
    def saved(self) -> float:
        """Share of the visits that has been saved by the end of this pass."""
        return 1 - self.visited / max(1, self.unpruned)

    @property
    def iterations_left(self) -> int:
        """Predicted iterations from the start of this pass to the end."""
        return iterations_left(self.current, self.budget, self.delta)

    def forecast(self) -> Forecast:
        """What the whole run is expected to visit and to save."""
        sampler, batch = self.sampler, self._batch_size
        return forecast(
            self.budget,
            sampler.pruner,
            sampler.full_size,
            None if batch is None else batch * sampler.world_size,
        )

    def skip_to(self, step: int) -> None:
        """Take the steps before ``step`` as made, by an unpruned run."""
        number = 0
        while self.budget.end(number) <= step < self.budget.steps:
            number += 1
        self._ahead.clear()
        self.current = Pass(number - 1, step, step, 0)
        self.first_scored = number
        self.visited = self._visits(step)

    def go_to_epoch(self, epoch: int) -> int:
        """Leave out what a resumed run leaves out before its next epoch.

        A checkpoint saved in mid-epoch with ``by_epoch=True`` is one of the
        end of that epoch to MMEngine, which goes on with the next. What is
        left out counts as visited, as it does without pruning.

        Args:
            epoch (int): Number of the epoch that comes next, from 0.

        Returns:
            int: Steps of the unpruned run that are left out.
        """
        steps = 0
        if self.current.number < epoch:
            steps += self.end()
        if self.current.number < epoch - 1:
            before, visits = self.current.step, self.unpruned
            visited = self.visited
            self.skip_to(self.budget.end(epoch - 1))
            self.visited = visited + self.unpruned - visits
            steps += self.current.step - before
        return steps

    def begin(self, scores: Tensor, epoch: Optional[int] = None) -> Beginning:
        """Begin the next pass, or go on in the one that was loaded.

        Args:
            scores (Tensor): Scores, float32, shape (N,); not needed where the
                pass has been selected before its turn.
            epoch (int, optional): Number of the epoch that begins, from 0;
                None in an iteration-based run. Defaults to None.

        Returns:
            Beginning: How the pass, ``current`` from now on, begins.
        """
        loaded = self.has_begun(epoch)
        is_new = not loaded and self.current.done >= self.current.length
        planned = is_new and bool(self._ahead)
        if planned:
            self._go_to(self._ahead.popleft())
        elif is_new:
            self._begin_next(scores)
        skip = self.current.done
        if loaded and not self.current.length:  # with other batches than then
            skip = self._num_batches()
        return self.beginning(is_new)._replace(skip=skip, reads_on=planned)

    def has_begun(self, epoch: Optional[int]) -> bool:
        """Whether the pass in hand is that of an epoch which begins.

        Resumed from a save by iteration at the end of an epoch, a run still
        has to end that epoch.

        Args:
            epoch (int, optional): Number of the epoch, from 0; None in an
                iteration-based run.
        """
        return epoch is not None and epoch == self.current.number

    def beginning(self, is_new: bool) -> Beginning:
        """How the pass in hand begins, or goes on."""
        return Beginning(is_new, self.current.done, self._batch_weights())

    @property
    def next_number(self) -> int:
        """Number of the first pass that has not been selected yet."""
        return self._last.number + 1

    def find_planned(self, number: int) -> Optional[Dict[str, Any]]:
        """What the sampler yields in a pass that has been selected.

        Args:
            number (int): Number of the pass.

        Returns:
            dict or None: ``pass_state`` of the sampler; None if the pass has
            not been selected, or is not one of those that follow.
        """
        for planned in self._ahead:
            if planned.current.number == number:
                return planned.indices
        return None

    def may_plan(self, batch_size: Optional[int]) -> bool:
        """Whether one more pass may be selected before its turn.

        Not while samples have no score yet, which would count as easy; nor
        after the last pass; nor if something has changed that the next pass
        follows.

        Args:
            batch_size (int, optional): Most samples in a batch by now.
        """
        sampler = self.sampler
        return (
            (sampler.pruner is None or self.current.number > self.first_scored)
            and not sampler.may_change
            and (self._sizes, self._batch_size) == (sampler.sizes, batch_size)
            and _end(self._last) < self.budget.steps
        )

    def plan(self, scores: Tensor) -> None:
        """Select one more pass before its turn.

        Args:
            scores (Tensor): Scores, float32, shape (N,).
        """
        self._plan(partial(self._begin_next, scores))

    def _plan(self, begin: Callable[[], None]) -> None:
        """Begin the pass after the last one that is known; come back."""
        held = self._pass_in_hand()
        try:
            self._go_to(self._ahead[-1] if self._ahead else held)
            begin()
            planned = self._pass_in_hand()
        finally:
            self._go_to(held)
        self._ahead.append(planned)

    @property
    def _last(self) -> Pass:
        """The last pass that has been selected."""
        return self._ahead[-1].current if self._ahead else self.current

    def _pass_in_hand(self) -> Planned:
        return Planned(
            self.current,
            self.weights,
            self.carried_weights,
            self.visited,
            self.sampler.pass_state,
        )

    def _go_to(self, planned: Planned) -> None:
        self.current, self.weights, self.carried_weights, self.visited = (
            planned[:4]
        )
        self.sampler.go_to_pass(planned.indices)

    def _begin_next(self, scores: Tensor) -> None:
        selection = self._select(scores, self.current.number + 1)
        self._begin_with(dense_weights(selection, len(scores)))

    def _begin_with(self, weights: Optional[Tensor]) -> None:
        """Begin the next pass with these weights."""
        number = self.current.number + 1
        first_step = _end(self.current)
        self.carried_weights = self._weights_at(self.sampler.left_over)
        self.weights = weights
        self._begin_pass(number, first_step)
        if number == self.first_scored and not self.current.length:
            self.first_scored += 1
        if not self.current.length and not len(self.sampler.left_over):
            self.weights = None  # `drop_last` took all that was selected
            self._begin_pass(number, first_step)
        self.visited += self._samples_in(self.current.length)

    def advance(self, iterations: int) -> int:
        """Count iterations of the current pass as done.

        Args:
            iterations (int): Their number.

        Returns:
            int: Steps of the unpruned run that they stand for.
        """
        before = self.current.step
        self.current.done += iterations
        return self.current.step - before

    def end(self) -> int:
        """Count the iterations as done that the pass did not have.

        Returns:
            int: Steps of the unpruned run that they stand for.
        """
        return self.advance(self.current.length - self.current.done)

    def state_dict(self, ahead: int = 0) -> Dict[str, Any]:
        """What decides on the rest of the run, but for the sampler's part.

        Args:
            ahead (int): Iterations that are done, but not yet counted.
                Defaults to 0.

        Returns:
            dict: Of the pass ``number``, ``first_step``, ``done`` and whether
            it is ``finished`` (int); ``visited`` (int); ``numerator`` and
            ``denominator`` of the budget (int); ``weights``, float32, shape
            (N,), or empty if all are 1; ``carried_weights``, float32, shape
            (C,); ``first_scored`` (int); ``planned``, a list of ``weights``
            of the passes that follow, as far as they have been selected.
            Tensors are copies on the CPU.
        """
        done = self.current.done + ahead
        return dict(
            number=self.current.number,
            first_step=self.current.first_step,
            done=done,
            finished=int(done >= self.current.length),
            visited=self.visited,
            numerator=self.budget.numerator,
            denominator=self.budget.denominator,
            weights=_to_saved(self.weights),
            carried_weights=self.carried_weights.clone(),
            first_scored=self.first_scored,
            planned=[_to_saved(planned.weights) for planned in self._ahead],
        )

    def load_state_dict(
        self, state: Dict[str, Any], device: torch.device
    ) -> None:
        """Go back to where a run of the same batches was saved.

        The sampler has to be there already.

        Args:
            state (dict): What :meth:`state_dict` returned, validated.
            device (torch.device): Where the weights should be.

        Raises:
            ValueError: If more iterations are done than the pass has. Then
                the run begins at its start.
        """
        number, first_step, done = (
            state[name] for name in ('number', 'first_step', 'done')
        )
        self.visited = state['visited']
        before_a_pass = state['finished'] and not done
        # The latter where the run is shorter now, and over.
        if before_a_pass or first_step >= self.budget.steps:
            self.skip_to(min(first_step, self.budget.steps))
            self.visited = state['visited']
            self.first_scored = state['first_scored']
            return
        self.first_scored = state['first_scored']
        self.weights = _to_loaded(state['weights'], device)
        self.carried_weights = state['carried_weights'].cpu()
        self._begin_pass(number, first_step)
        length = self.current.length
        if done > length and self.budget.full_end(number) <= self.budget.steps:
            self._attach(self.sampler, self._num_batches, self._batch_size)
            self.weights, self.carried_weights = None, torch.empty(0)
            self.skip_to(0)
            raise ValueError(
                '`bls.done` of the checkpoint should be at most '
                f'{length}, the length of the pass, but got {done}.'
            )
        for weights in state['planned']:
            if _end(self._last) >= self.budget.steps:
                break  # the run is shorter now
            loaded = _to_loaded(weights, device)
            self._plan(partial(self._begin_with, loaded))
        self.advance(min(done, length))

    @property
    def kept(self) -> Tuple[int, int]:
        """Indices that this pass selects, and those of an unpruned one."""
        return self.sampler.selected, self.sampler.full_size

    @property
    def prunes(self) -> bool:
        """Whether any pass of the run is pruned."""
        return annealing_start(self.budget.passes, self.delta) > 1

    def _batch_weights(self) -> Optional[Tensor]:
        """``weights``, with those of carried samples that this pass prunes."""
        if self.weights is None or not len(self.sampler.carried):
            return self.weights
        ids = self._ids(self.sampler.carried)
        return with_carried(self.weights, ids, self.carried_weights)

    def _weights_at(self, indices: Tensor) -> Tensor:
        weights = self._batch_weights()
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
        progress = Progress(
            self.budget,
            self._samples_per_pass,
            self.current.last_step,
            self.visited,
        )
        return select_pass(pruner, scores, self.sampler.seed, number, progress)

    def _begin_pass(self, number: int, first_step: int) -> None:
        """Fix the indices and the length of a pass."""
        whole_end = self.budget.full_end(number)
        kept = None if self.weights is None else (self.weights > 0).cpu()
        self.sampler.begin_pass(number, kept, whole_end - first_step)
        last_step = self.budget.end(number)
        length = cut_length(
            self._num_batches(), first_step, whole_end, last_step
        )
        self.current = Pass(number, first_step, last_step, length)

    def _samples_in(self, batches: int) -> int:
        """Samples in the first batches of this pass, all ranks together."""
        size = self.sampler.total_size
        if self._batch_size is None:
            return round(size * batches / max(1, self._num_batches()))
        # All but the last of a pass are full.
        return min(size, batches * self._batch_size * self.sampler.world_size)

    def _visits(self, steps: int) -> int:
        return self.budget.visits(steps, self._samples_per_pass)


def _end(current: Pass) -> int:
    """Steps that the run should have made when a pass is over."""
    return replace(current, done=current.length).step


def _to_saved(weights: Optional[Tensor]) -> Tensor:
    if weights is None:
        return torch.empty(0)
    return weights.detach().to('cpu', copy=True)


def _to_loaded(weights: Tensor, device: torch.device) -> Optional[Tensor]:
    return weights.to(device) if len(weights) else None
