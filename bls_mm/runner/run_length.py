"""The length of a pruned run, and all that depends on it."""

from bisect import bisect
from functools import partial
from typing import Any, Optional, Tuple

from mmengine.hooks import CheckpointHook

from bls_mm.passes.budget import is_pruned
from bls_mm.passes.planner import PassPlanner
from bls_mm.passes.run_length import count_multiples, iteration_at

from .loop import is_epoch_based, set_max_iters
from .thresholds import Thresholds


class RunLength:
    """Keep a runner told how long its pruned run will be.

    Settings that count iterations from the start move with it, see
    :class:`Thresholds`. Intervals count the iterations that really run, so
    there are fewer validations and checkpoints: the log says how many.

    Args:
        runner (Runner): The runner, before its first pass.
        planner (PassPlanner): The plan.
    """

    def __init__(self, runner: Any, planner: PassPlanner) -> None:
        self._runner = runner
        self._thresholds: Optional[Thresholds] = None
        if not planner.prunes:
            return
        self._thresholds = Thresholds(runner)
        self._unpruned = count_events(runner, runner.max_iters)
        self._told = False
        budget = planner.budget
        unknown = self._thresholds.between(budget.end(0), budget.steps)
        if unknown:
            runner.logger.warning(
                'BLS: the pruned run has fewer iterations. These settings '
                'seem to count iterations from the start of the run, and '
                f'stay as they are: {", ".join(unknown)}.'
            )

    def update(self, planner: PassPlanner) -> None:
        """Tell the runner what the plan says at the start of a pass."""
        runner, current = self._runner, planner.current
        start = runner.iter - current.done
        set_max_iters(runner, start + planner.iterations_left)
        if self._thresholds is None:
            return
        iteration = partial(
            iteration_at,
            start=start,
            current=current,
            budget=planner.budget,
            delta=planner.delta,
        )
        self._thresholds.translate(iteration, current.first_step)
        passes = planner.budget.passes
        if not self._told and is_pruned(current.number, passes, planner.delta):
            self._tell()

    def close(self) -> None:
        """Put the settings back."""
        if self._thresholds is not None:
            self._thresholds.close()

    def _tell(self) -> None:
        self._told = True
        validations, checkpoints = count_events(
            self._runner, self._runner.max_iters
        )
        self._runner.logger.info(
            f'BLS: {validations} validation(s) and {checkpoints} '
            f'checkpoint(s) are expected in {self._runner.max_iters} '
            f'iterations; without pruning there are {self._unpruned[0]} and '
            f'{self._unpruned[1]}.'
        )


def count_events(runner: Any, max_iters: int) -> Tuple[int, int]:
    """How often a run is validated and saved by the settings it has now.

    Args:
        runner (Runner): The runner.
        max_iters (int): Iterations of the run.

    Returns:
        tuple[int, int]: Validations and checkpoints, without `best_*`.
    """
    loop = runner.train_loop
    end = loop.max_epochs if is_epoch_based(loop) else max_iters
    validations = 0
    if runner.val_loop is not None:
        validations = count_validations(
            end,
            loop.val_begin,
            loop.dynamic_milestones,
            loop.dynamic_intervals,
        )
    checkpoints = 0
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook):
            end = runner.max_epochs if hook.by_epoch else max_iters
            if hook.by_epoch and not is_epoch_based(loop):
                end = 1
            begin, interval = hook.save_begin, hook.interval
            first = max(begin, 1)
            checkpoints += count_multiples(first, end, interval, begin)
            at_end = count_multiples(max(end, first), end, interval, begin)
            checkpoints += int(hook.save_last and not at_end)
    return validations, checkpoints


def count_validations(
    end: int, begin: int, milestones: Any, intervals: Any
) -> int:
    """How often a training loop of MMEngine validates.

    Args:
        end (int): Iterations or epochs of the run.
        begin (int): The first that may be followed by a validation.
        milestones (list[int]): From one before each on, the interval of the
            same index holds. The first is 0.
        intervals (list[int]): The intervals.
    """
    count = 0
    for index, interval in enumerate(intervals):
        first = max(begin, milestones[index] - 1, 1)
        last = end
        if index + 1 < len(milestones):
            last = min(end, milestones[index + 1] - 2)
        count += count_multiples(first, last, interval)
    interval = intervals[bisect(milestones, end + 1) - 1]
    return count + int(end >= begin and end % interval > 0)
