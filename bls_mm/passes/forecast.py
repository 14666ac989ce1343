"""What a run will visit and save, as far as its settings tell beforehand."""

from typing import List, NamedTuple, Optional

from bls_mm.pruners import Pruner

from .budget import Budget, annealing_start, cut_length, is_pruned
from .last_batch import drop_small_last
from .selection import Progress, next_share
from .shares import Shares, expected_shares
from .target import check_target


class Forecast(NamedTuple):
    """What is expected of a run.

    Attributes:
        passes (int): Its passes over the data.
        pruned (range): Numbers of the pruned ones, from 0.
        iterations (int): Its iterations.
        full_iterations (int): Those of the unpruned run.
        visits (int): Samples that it visits, each as often as it does.
        full_visits (int): Those of the unpruned run.
        assumption (str): What was assumed, a clause; empty if the numbers
            follow from the settings.
    """

    passes: int
    pruned: range
    iterations: int
    full_iterations: int
    visits: int
    full_visits: int
    assumption: str

    @property
    def saving(self) -> float:
        """Share of the visits of the unpruned run that are saved."""
        return 1 - self.visits / max(1, self.full_visits)


def forecast(
    budget: Budget,
    pruner: Optional[Pruner],
    samples: int,
    batch_size: Optional[int] = None,
    world_size: int = 1,
) -> Forecast:
    """Work out what a run will visit.

    With a ``target_saving`` the saving is known, and with ``RandomPrune``
    everything. Otherwise it depends on scores that do not exist yet, and the
    forecast says what it assumes.

    Args:
        budget (Budget): What the unpruned run would do.
        pruner (Pruner, optional): The rule; None visits everything.
        samples (int): Indices of a whole pass, at least 1, those that
            ``drop_last`` leaves out included.
        batch_size (int, optional): Samples in a full batch of a rank.
            Defaults to None, the mean of the unpruned run.
        world_size (int): Number of ranks. Defaults to 1.

    Returns:
        Forecast: The numbers.

    Raises:
        ValueError: If ``target_saving`` is more than the run can save.
    """
    per_pass, stream = samples, budget.denominator > 1
    full = None if batch_size is None else batch_size * world_size
    if full is not None and not stream:
        per_pass = min(samples, budget.numerator * full)
    check_target(pruner, budget, per_pass)
    shares = Shares(0.0)
    if pruner is not None and pruner.target_saving is None:
        shares = expected_shares(pruner)
    visits = iterations = first = waiting = 0
    for number in range(budget.passes):
        share = shares.annealed if number else 0.0
        if pruner and is_pruned(number, budget.passes, pruner.delta):
            progress = Progress(budget, per_pass, first, visits)
            share = next_share(pruner, progress) or shares.pruned
        kept = max(1, round((1 - share) * samples)) + waiting
        if batch_size and not stream and per_pass == samples:
            kept = drop_small_last(kept, samples, batch_size, world_size)
        whole, last = budget.full_end(number), budget.end(number)
        length = _batches(kept, budget, samples, full, whole - first)
        length = cut_length(length, first, whole, last)
        size = full
        if stream:  # the rest waits
            size = budget.denominator
            waiting = kept - length * size
        visits += kept if size is None else min(kept, length * size)
        iterations += length
        first = last
    anneal = annealing_start(budget.passes, pruner.delta if pruner else 0.0)
    return Forecast(
        passes=budget.passes,
        pruned=range(1, max(1, anneal)),
        iterations=iterations,
        full_iterations=budget.steps,
        visits=visits,
        full_visits=budget.visits(budget.steps, per_pass),
        assumption=shares.assumption,
    )


def _batches(
    kept: int,
    budget: Budget,
    samples: int,
    batch_size: Optional[int],
    steps: int,
) -> int:
    """Iterations of a pass over so many samples, ``steps`` if unpruned."""
    if budget.denominator > 1:  # a stream of full batches
        return min(kept // budget.denominator, steps)
    if batch_size is None:
        return -(-kept * budget.numerator // samples)
    if budget.numerator * batch_size < samples:  # `drop_last`
        # A pass that it would leave empty is not pruned.
        return kept // batch_size or budget.numerator
    return -(-kept // batch_size)


def describe(
    expected: Forecast, pruner: Optional[Pruner], unit: str = 'epoch'
) -> List[str]:
    """What will be pruned, and what the run will cost and save.

    Args:
        expected (Forecast): What :func:`forecast` returned.
        pruner (Pruner, optional): The rule.
        unit (str): What a pass over the data is called: 'epoch' or 'pass'.
            Defaults to 'epoch'.

    Returns:
        list[str]: Two sentences, for the start of a log.
    """
    about, condition = '', ''
    if expected.assumption:
        about, condition = 'about ', f', if {expected.assumption}'
    rule = (
        f'{describe_pruner(pruner)} prunes {describe_passes(expected, unit)}'
    )
    return [
        f'{rule if pruner else "The run has no pruner"}.',
        f'The run visits {about}{expected.visits:,} instead of '
        f'{expected.full_visits:,} samples ({expected.saving:.1%} saved) in '
        f'{about}{expected.iterations:,} instead of '
        f'{expected.full_iterations:,} iterations{condition}.',
    ]


def describe_pruner(pruner: Optional[Pruner]) -> str:
    """Name of a rule, with what it drops: ``InfoBatch(prune_ratio=0.5)``."""
    if pruner is None:
        return 'No pruner'
    key = 'prune_ratio' if pruner.target_saving is None else 'target_saving'
    return f'{type(pruner).__name__}({key}={getattr(pruner, key)})'


def describe_passes(expected: Forecast, unit: str = 'epoch') -> str:
    """Which passes are pruned: ``epochs 2 to 10 of 12``."""
    units = 'passes' if unit == 'pass' else f'{unit}s'
    if not expected.pruned:
        return f'none of {expected.passes} {units}'
    first, last = expected.pruned[0] + 1, expected.pruned[-1] + 1
    if first == last:
        return f'{unit} {first} of {expected.passes}'
    return f'{units} {first} to {last} of {expected.passes}'
