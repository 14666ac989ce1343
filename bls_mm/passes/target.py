"""What passes should drop to save a target share of the visits."""

import math
from typing import Optional

from bls_mm.pruners import Pruner

from .budget import Budget, annealing_start

# The most of a pass that a target may drop: no pass should be next to empty.
MAX_SHARE = 0.9


def share_to_drop(target: float, total: int, saved: int, left: int) -> float:
    """Share of the samples that the next pass should drop.

    Every pass gets the share that would reach the target if all prunable
    passes from now on got it, so that what one pass missed, the next make up
    for.

    Args:
        target (float): Share of all visits to save, in (0, 1).
        total (int): Visits of the unpruned run.
        saved (int): Visits that have been saved so far.
        left (int): Visits of the prunable passes from now on, unpruned.

    Returns:
        float: In [0, :data:`MAX_SHARE`].
    """
    missing = target * total - saved
    return min(max(0.0, missing / max(1, left)), MAX_SHARE)


def prunable_visits(
    budget: Budget, delta: float, samples_per_pass: int, step: int = 0
) -> int:
    """Visits of the prunable passes after a step, unpruned.

    Args:
        budget (Budget): What the unpruned run would do.
        delta (float): Share of the passes after which pruning stops.
        samples_per_pass (int): Samples that a whole pass visits.
        step (int): The step. Defaults to 0.
    """
    first = budget.end(0)
    end = max(budget.end(annealing_start(budget.passes, delta) - 1), first)
    visits = [budget.visits(s, samples_per_pass) for s in (step, first, end)]
    return visits[2] - max(visits[0], visits[1])


def largest_target(
    budget: Budget, delta: float, samples_per_pass: int
) -> float:
    """The largest share of all visits that a run can be asked to save.

    Args:
        budget (Budget): What the unpruned run would do.
        delta (float): Share of the passes after which pruning stops.
        samples_per_pass (int): Samples that a whole pass visits.

    Returns:
        float: In [0, :data:`MAX_SHARE`).
    """
    total = budget.visits(budget.steps, samples_per_pass)
    return MAX_SHARE * prunable_visits(budget, delta, samples_per_pass) / total


def check_target(
    pruner: Optional[Pruner], budget: Budget, samples_per_pass: int
) -> None:
    """Refuse a ``target_saving`` that a run cannot reach.

    Args:
        pruner (Pruner, optional): The rule.
        budget (Budget): What the unpruned run would do.
        samples_per_pass (int): Samples that a whole pass visits.

    Raises:
        ValueError: If it is more than the run can save.
    """
    if pruner is None or pruner.target_saving is None:
        return
    largest = largest_target(budget, pruner.delta, samples_per_pass)
    if pruner.target_saving > largest + 1e-9:
        raise ValueError(
            '`train_dataloader.sampler.pruner.target_saving` should be at '
            f'most {math.floor(largest * 1000 + 1e-6) / 1000} in a run of '
            f'{budget.passes} passes with `delta={pruner.delta}`, but got '
            f'{pruner.target_saving}.'
        )
