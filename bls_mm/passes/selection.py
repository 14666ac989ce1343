"""What a pass visits, by the rule of the pruner and the state of the run."""

from typing import NamedTuple, Optional

from torch import Tensor

from bls_mm.pruners import Pruner, Selection, selection_generator

from .budget import Budget, is_pruned
from .target import prunable_visits, share_to_drop


class Progress(NamedTuple):
    """How far a run has come when a pass begins.

    Attributes:
        budget (Budget): What the unpruned run would do.
        samples_per_pass (int): Samples that a whole unpruned pass visits.
        step (int): Steps of the unpruned run that have been made.
        visited (int): Samples that have been visited.
    """

    budget: Budget
    samples_per_pass: int
    step: int
    visited: int


def select_pass(
    pruner: Pruner,
    scores: Tensor,
    seed: int,
    number: int,
    progress: Progress,
) -> Selection:
    """Select the samples of a pass.

    Args:
        pruner (Pruner): The rule.
        scores (Tensor): Score of every sample, float32, shape (N,).
        seed (int): Seed of the sampler.
        number (int): Number of the pass, from 0.
        progress (Progress): How far the run has come.

    Returns:
        Selection: The samples and their weights; after ``delta`` of the
        passes what :meth:`Pruner.anneal` selects.
    """
    generator = selection_generator(seed, number, scores.device)
    if not is_pruned(number, progress.budget.passes, pruner.delta):
        return pruner.anneal(scores, generator)
    share = next_share(pruner, progress)
    return pruner.select(scores, generator, epoch=number, share=share)


def next_share(pruner: Pruner, progress: Progress) -> Optional[float]:
    """Share of the samples that a pass should drop to reach the target.

    Args:
        pruner (Pruner): The rule.
        progress (Progress): How far the run has come.

    Returns:
        float or None: In [0, :data:`MAX_SHARE`]; None without a target.
    """
    if pruner.target_saving is None:
        return None
    budget, samples = progress.budget, progress.samples_per_pass
    return share_to_drop(
        pruner.target_saving,
        budget.visits(budget.steps, samples),
        budget.visits(progress.step, samples) - progress.visited,
        prunable_visits(budget, pruner.delta, samples, progress.step),
    )
