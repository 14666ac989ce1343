"""What passes should drop to save a target share of the visits."""

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
