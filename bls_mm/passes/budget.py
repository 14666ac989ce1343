"""The numbers of a pruned run: passes, iterations, schedule steps.

A *step* is an iteration of the unpruned run, the unit in which learning-rate
schedules are written; an *iteration* is one that really runs. A pruned pass
makes the same steps in fewer iterations.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Optional, Tuple


class Budget(NamedTuple):
    """What the unpruned run would do.

    Attributes:
        steps (int): Its iterations, at least 1.
        numerator (int): Together with ``denominator``: its iterations per
            pass, a fraction where batches reach from one pass into the next.
        denominator (int): See ``numerator``.
        first_pass (int): Number of the first pass of that length. Passes
            before it had another one, before the batch size or the dataset
            was changed in mid-run.
        first_step (int): Steps before that pass.
        first_visits (int): Samples visited before that pass.
    """

    steps: int
    numerator: int
    denominator: int = 1
    first_pass: int = 0
    first_step: int = 0
    first_visits: int = 0

    @property
    def passes(self) -> int:
        """Number of passes, the last perhaps incomplete."""
        steps = self.steps - self.first_step
        passes = math.ceil(steps * self.denominator / self.numerator)
        return self.first_pass + max(1, passes)

    @property
    def is_whole(self) -> bool:
        """Whether passes have whole numbers of iterations."""
        return self.denominator == 1

    def visits(self, steps: int, samples_per_pass: int) -> int:
        """Samples that it visits in a number of steps.

        Args:
            steps (int): Number of steps.
            samples_per_pass (int): Samples that a whole pass visits.
        """
        passes = (steps - self.first_step) * self.denominator / self.numerator
        return self.first_visits + round(passes * samples_per_pass)

    def full_end(self, number: int) -> int:
        """Steps at the end of a pass, were it not cut by the end of the run.

        Args:
            number (int): Number of the pass, from 0.
        """
        passes = number + 1 - self.first_pass
        return self.first_step + passes * self.numerator // self.denominator

    def changed(
        self,
        first_pass: int,
        first_step: int,
        first_visits: int,
        pass_length: Tuple[int, int],
        steps: Optional[int],
    ) -> 'Budget':
        """The budget of a run whose passes have another length from one on.

        Args:
            first_pass (int): Number of that pass.
            first_step (int): Steps before it.
            first_visits (int): Samples visited before it.
            pass_length (tuple[int, int]): Iterations per pass, a fraction.
            steps (int, optional): Iterations of the unpruned run; None if
                instead the number of passes stays.
        """
        if steps is None:
            steps = first_step + (self.passes - first_pass) * pass_length[0]
        return Budget(
            steps, *pass_length, first_pass, first_step, first_visits
        )

    def end(self, number: int) -> int:
        """Steps at the end of a pass."""
        if number + 1 >= self.passes:
            return self.steps
        return min(self.full_end(number), self.steps)


def annealing_start(passes: int, delta: float) -> int:
    """Number of the first pass after ``delta`` of the passes.

    Rounded down, so that the rest of the run is never shorter than promised.

    Args:
        passes (int): Number of passes of the run.
        delta (float): Share of the passes, in [0, 1].
    """
    # 1e-9: 0.29 * 100 is 28.999999999999996 and means 29.
    return math.floor(delta * passes + 1e-9)


def is_pruned(number: int, passes: int, delta: float) -> bool:
    """Whether a pass is pruned: not the first, and before annealing."""
    return 0 < number < annealing_start(passes, delta)


@dataclass
class Pass:
    """One pass over the data.

    Attributes:
        number (int): Its number, from 0.
        first_step (int): Steps before it.
        last_step (int): Steps after it.
        length (int): Its iterations, 0 where all of its samples wait for
            the next pass to fill a batch.
        done (int): Iterations of it that have run. Defaults to 0.
    """

    number: int
    first_step: int
    last_step: int
    length: int
    done: int = 0

    @property
    def step(self) -> int:
        """Steps that the run should have made by now."""
        if not self.length:
            return self.first_step
        width = self.last_step - self.first_step
        done = min(self.done, self.length)
        return self.first_step + width * done // self.length

    @property
    def end(self) -> int:
        """Steps that the run should have made when the pass is over."""
        return self.last_step if self.length else self.first_step

    def advance(self, iterations: int) -> int:
        """Count iterations as done.

        Args:
            iterations (int): Their number.

        Returns:
            int: Steps of the unpruned run that they stand for.
        """
        before, self.done = self.done, self.done + iterations
        length = self.length
        if not length:
            return 0
        # The difference of `step`, which would take twice as long.
        width = self.last_step - self.first_step
        made = width * min(before, length) // length
        return width * min(self.done, length) // length - made


def cut_length(length: int, first_step: int, last_step: int, cut: int) -> int:
    """Iterations of a pass that the end of the run cuts short.

    Args:
        length (int): Iterations of the whole pass.
        first_step (int): Steps before it.
        last_step (int): Steps after the whole pass.
        cut (int): Steps at the end of the run, at most ``last_step``.

    Returns:
        int: At most the steps left; at least 1 if both they and the pass
        have any.
    """
    if cut >= last_step:
        return length
    width, left = last_step - first_step, cut - first_step
    return min(-(-length * left // width), left)  # rounded up


def iterations_left(current: Pass, budget: Budget, delta: float) -> int:
    """Predict the iterations from the start of a pass to the end of the run.

    Passes of the same kind (pruned or not) are taken to be as long as this
    one, others to be unpruned. Exact in the last pass.

    Args:
        current (Pass): The pass that starts.
        budget (Budget): What the unpruned run would do.
        delta (float): Share of the passes after which pruning stops.

    Returns:
        int: At least the length of this pass, plus 1 if it is not the last.
    """
    width = current.last_step - current.first_step
    share = current.length / width if width else 1.0
    pruned = is_pruned(current.number, budget.passes, delta)
    anneal = min(annealing_start(budget.passes, delta), budget.passes)
    anneal_step = budget.end(anneal - 1) if anneal else 0
    left = budget.steps - current.last_step
    alike = left if not pruned else max(0, anneal_step - current.last_step)
    rest = round(alike * share) + (left - alike)
    return current.length + max(rest, 1 if left else 0)
