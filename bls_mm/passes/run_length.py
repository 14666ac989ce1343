"""Which iteration of a pruned run is a given step of the unpruned one."""

from .budget import Budget, Pass, annealing_start, is_pruned, iterations_left


def iteration_at(
    step: int, start: int, current: Pass, budget: Budget, delta: float
) -> int:
    """Iterations after which a pruned run has made as many steps.

    Exact for steps in the current pass. Later passes are predicted as
    :func:`iterations_left` does, so a step of the unpruned run is never
    after the end of the pruned one.

    Args:
        step (int): Iterations of the unpruned run, at least 0.
        start (int): Iterations before the current pass.
        current (Pass): The pass that starts.
        budget (Budget): What the unpruned run would do.
        delta (float): Share of the passes after which pruning stops.

    Returns:
        int: At least 0. Steps of earlier passes are at most ``start``; a
        step after the end of the unpruned run is as far after the end of
        the pruned one.
    """
    first, last = current.first_step, current.last_step
    if step <= first:
        return step * start // max(1, first)
    if step <= last:
        width = last - first
        done = -(-(step - first) * current.length // width)  # rounded up
        return start + max(1, done)
    end = start + iterations_left(current, budget, delta)
    if step >= budget.steps:
        return end + step - budget.steps
    # As if the run ended there, with the passes of the whole one.
    alike = step
    if is_pruned(current.number, budget.passes, delta):
        anneal = annealing_start(budget.passes, delta)
        alike = min(step, max(last, budget.end(anneal - 1)))
    share = current.length / (last - first) if last > first else 1.0
    done = current.length + round((alike - last) * share) + step - alike
    return min(start + max(1, done), end)


def count_multiples(
    first: int, last: int, interval: int, offset: int = 0
) -> int:
    """How many numbers in a range are so many intervals from an offset.

    Args:
        first (int): Begin of the range.
        last (int): Its end, inclusive.
        interval (int): The interval; there are none if it is 0 or less.
        offset (int): Where intervals begin, at most ``first``.
            Defaults to 0.
    """
    if interval <= 0 or last < first:
        return 0
    return (last - offset) // interval - (first - 1 - offset) // interval
