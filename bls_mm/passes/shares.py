"""Which share of the samples a rule drops, before there are scores."""

from functools import singledispatch
from typing import NamedTuple

from bls_mm.pruners import Importance, InfoBatch, Pruner, RandomPrune, SeTa
from bls_mm.pruners.seta import window

# Share of the samples that score below the mean, as the savings of 12, 20 and
# 28 % imply that are reported for batch losses and ratios of 0.3, 0.5 and 0.7
# in long runs. The losses of single samples are skewed: more of them are below
# the mean.
EASY_SHARE = 0.46


class Shares(NamedTuple):
    """Shares of the samples that a rule drops, as far as they are known.

    Attributes:
        pruned (float): In a pruned pass, in [0, 1).
        annealed (float): In a pass after ``delta``, in [0, 1).
            Defaults to 0.0.
        assumption (str): What was assumed, a clause such as ``'half of the
            samples are easy'``; empty if nothing was. Defaults to ''.
    """

    pruned: float
    annealed: float = 0.0
    assumption: str = ''


@singledispatch
def expected_shares(pruner: Pruner) -> Shares:
    """What a rule drops if it goes by its ``prune_ratio``.

    ``expected_shares.register(MyRule)`` adds a function for a rule of one's
    own.

    Args:
        pruner (Pruner): The rule.

    Returns:
        Shares: For an unknown rule, ``prune_ratio`` of all samples.
    """
    return Shares(
        pruner.prune_ratio,
        assumption=f'{type(pruner).__name__} drops {pruner.prune_ratio:.0%} '
        'of all samples',
    )


@expected_shares.register
def _infobatch(pruner: InfoBatch) -> Shares:
    return Shares(
        EASY_SHARE * pruner.prune_ratio,
        assumption=f'{EASY_SHARE:.0%} of the samples score below the mean',
    )


@expected_shares.register
def _seta(pruner: SeTa) -> Shares:
    first, last = window(pruner.num_groups, pruner.window_scale, 0)
    kept = (1 - pruner.prune_ratio) * (last - first) / pruner.num_groups
    assumption = f'its {pruner.num_groups} groups are of equal size'
    if last - first == pruner.num_groups:  # the window holds them all
        assumption = ''
    return Shares(1 - kept, pruner.prune_ratio, assumption)


@expected_shares.register
def _importance(pruner: Importance) -> Shares:
    return Shares(pruner.prune_ratio)


@expected_shares.register
def _random_prune(pruner: RandomPrune) -> Shares:
    return Shares(pruner.prune_ratio)
