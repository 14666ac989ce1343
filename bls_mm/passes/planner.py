"""Deciding, pass by pass, which samples a run visits."""

from dataclasses import replace
from functools import partial
from typing import Any, Callable, Dict, Optional, Tuple

import torch
from torch import Tensor

from bls_mm.samplers.bls_sampler import BLSSampler

from .batches import Batches
from .budget import Budget, Pass, annealing_start, iterations_left
from .forecast import Forecast, forecast
from .next_pass import (
    Beginning,
    PlannedPass,
    batch_weights,
    begin_earlier,
    make_pass,
    next_pass,
    select_weights,
)
from .queue import PassQueue
from .target import check_target


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
        ahead (PassQueue): The passes that have been selected before their
            turn.

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
        self.current: Pass
        self._by_epoch = by_epoch
        self._batches = Batches(sampler, num_batches, batch_size, stream)
        self.budget = Budget(steps, *self._batches.pass_length())
        self.ahead = PassQueue()
        self.weights: Optional[Tensor] = None
        self.carried_weights = torch.empty(0)
        self.visited = 0
        self.skip_to(0)
        check_target(
            sampler.pruner, self.budget, self._batches.samples_per_pass
        )

    @property
    def sampler(self) -> BLSSampler:
        return self._batches.sampler

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
        old, before = self._batches, self.sampler
        number, done = self.current.number, self.current.done
        goes_on = done < self.current.length
        sampler.seed = before.seed
        sampler.look_ahead(number if goes_on else number + 1)
        if sampler is before and old.are_of(sampler, batch_size):
            return
        left_over = before.carried if goes_on else before.left_over
        if goes_on:
            self.visited -= old.samples_in(self.current.length)
        # From the pass in hand on, if nothing of it has been trained on yet.
        is_first = goes_on and not done
        first = number if is_first else number + 1
        step = self.current.first_step if is_first else self.current.last_step
        first_visits = self._visits(step)
        self.ahead.clear()
        new = Batches(sampler, num_batches, batch_size, old.stream)
        self._batches = new
        if old.sizes.samples == new.sizes.samples:
            sampler.left_over = left_over
        else:
            self.weights = None
            self.first_scored = first
        if not old.are_of(sampler, batch_size):
            length = new.pass_length()
            ends = None if self._by_epoch else self.budget.steps
            self.budget = self.budget.changed(
                first, step, first_visits, length, ends
            )
        if goes_on:
            self.current = make_pass(
                number, self.current.first_step, self.weights, new, self.budget
            )
            self.advance(min(done, self.current.length))
            self.visited += new.samples_in(self.current.length)

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
        sampler, batch = self.sampler, self._batches.batch_size
        return forecast(
            self.budget,
            sampler.pruner,
            sampler.full_size,
            batch,
            sampler.world_size,
        )

    def skip_to(self, step: int) -> None:
        """Take the steps before ``step`` as made, by an unpruned run."""
        number = 0
        while self.budget.end(number) <= step < self.budget.steps:
            number += 1
        self.ahead.clear()
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
            scores (Tensor): Scores, float32, shape (N,).
            epoch (int, optional): Number of the epoch that begins, from 0;
                None in an iteration-based run. Defaults to None.

        Returns:
            Beginning: How the pass, ``current`` from now on, begins.
        """
        loaded = self.has_begun(epoch)
        is_new = not loaded and self.current.done >= self.current.length
        planned = is_new and bool(self.ahead)
        if planned:
            self._go_to(self.ahead.take_first())
        elif is_new:
            self._go_to(self._next(self._in_hand(), scores))
            current = self.current
            if current.number == self.first_scored and not current.length:
                self.first_scored += 1
        skip = self.current.done
        if loaded and not self.current.length:  # with other batches than then
            skip = self._batches.count()
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
        weights = batch_weights(
            self.weights, self.carried_weights, self.sampler
        )
        return Beginning(is_new, self.current.done, weights)

    @property
    def next_number(self) -> int:
        """Number of the first pass that has not been selected yet."""
        return self._last.current.number + 1

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
            and self._batches.are_of(sampler, batch_size)
            and self._last.current.end < self.budget.steps
        )

    def plan(self, scores: Tensor) -> None:
        """Select one more pass before its turn.

        Args:
            scores (Tensor): Scores, float32, shape (N,).
        """
        self.ahead.append(self._next(self._last, scores))

    @property
    def _last(self) -> PlannedPass:
        """The last pass that has been selected."""
        return self.ahead.last or self._in_hand()

    def _in_hand(self) -> PlannedPass:
        return PlannedPass(
            self.current,
            self.weights,
            self.carried_weights,
            self.visited,
            self.sampler.pass_state,
        )

    def _go_to(self, planned: PlannedPass) -> None:
        self.current, self.weights, self.carried_weights, self.visited = (
            planned[:4]
        )
        self.sampler.go_to_pass(planned.indices)

    def _next(self, before: PlannedPass, scores: Tensor) -> PlannedPass:
        weights = select_weights(before, scores, self._batches, self.budget)
        return next_pass(before, weights, self._batches, self.budget)

    def advance(self, iterations: int) -> int:
        """Count iterations of the current pass as done.

        Args:
            iterations (int): Their number.

        Returns:
            int: Steps of the unpruned run that they stand for.
        """
        return self.current.advance(iterations)

    def end(self) -> int:
        """Count the iterations as done that the pass did not have.

        Returns:
            int: Steps of the unpruned run that they stand for.
        """
        return self.advance(self.current.length - self.current.done)

    def end_early(self) -> None:
        """End a pass of an iteration-based run that is out of batches.

        A batch sampler may yield fewer than its length says, and a loop may
        leave some out. The run makes these iterations in later passes, as it
        does without pruning.
        """
        current = self.current
        if current.done >= current.length:
            return
        missing = current.last_step - current.step
        visited = self._batches.samples_in(current.done)
        visited -= self._batches.samples_in(current.length)
        self.visited += visited
        self.current = replace(
            current, last_step=current.step, length=current.done
        )
        self.ahead.change(
            partial(
                begin_earlier,
                steps=missing,
                visited=visited,
                batches=self._batches,
                end=self.budget.steps,
            )
        )
        step = self._last.current.last_step
        self.budget = self.budget.changed(
            self.next_number,
            step,
            self._visits(step),
            (self.budget.numerator, self.budget.denominator),
            self.budget.steps,
        )

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
            planned=list(map(_to_saved, self.ahead.weights)),
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
        self.current = make_pass(
            number, first_step, self.weights, self._batches, self.budget
        )
        length = self.current.length
        if done > length and self.budget.full_end(number) <= self.budget.steps:
            self.weights, self.carried_weights = None, torch.empty(0)
            self._batches.attach()
            self.skip_to(0)
            raise ValueError(
                '`bls.done` of the checkpoint should be at most '
                f'{length}, the length of the pass, but got {done}.'
            )
        for saved in state['planned']:
            last = self._last
            if last.current.end >= self.budget.steps:
                break  # the run is shorter now
            weights = _to_loaded(saved, device)
            self.ahead.append(
                next_pass(last, weights, self._batches, self.budget)
            )
        self.advance(min(done, length))

    @property
    def kept(self) -> Tuple[int, int]:
        """Indices that this pass selects, and those of an unpruned one."""
        return self.sampler.selected, self.sampler.full_size

    @property
    def prunes(self) -> bool:
        """Whether any pass of the run is pruned."""
        return annealing_start(self.budget.passes, self.delta) > 1

    def _visits(self, steps: int) -> int:
        return self.budget.visits(steps, self._batches.samples_per_pass)


def _to_saved(weights: Optional[Tensor]) -> Tensor:
    if weights is None:
        return torch.empty(0)
    return weights.detach().to('cpu', copy=True)


def _to_loaded(weights: Tensor, device: torch.device) -> Optional[Tensor]:
    return weights.to(device) if len(weights) else None
