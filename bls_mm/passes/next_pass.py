"""Going from one pass to the next."""

from typing import Any, Callable, Dict, NamedTuple, Optional

import torch
from torch import Tensor

from bls_mm.pruners.weights import dense_weights, with_carried
from bls_mm.samplers.bls_sampler import BLSSampler

from .batches import Batches
from .budget import Budget, Pass, cut_length
from .selection import Progress, select_pass


class PlannedPass(NamedTuple):
    """A pass that has been selected.

    Attributes:
        current (Pass): The pass.
        weights (Tensor, optional): Weight of every sample's loss in it,
            float32, shape (N,), 0 for pruned ones; None if all are 1.
        carried_weights (Tensor): Weights of ``sampler.carried``, from the
            pass that selected them, float32, shape (C,).
        visited (int): Samples visited by its end.
        indices (dict): ``pass_state`` of the sampler.
    """

    current: Pass
    weights: Optional[Tensor]
    carried_weights: Tensor
    visited: int
    indices: Dict[str, Any]


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


def select_weights(
    before: PlannedPass, scores: Tensor, batches: Batches, budget: Budget
) -> Optional[Tensor]:
    """Select the samples of the pass after another one.

    Args:
        before (PlannedPass): The pass before it.
        scores (Tensor): Scores, float32, shape (N,).
        batches (Batches): What passes are made of.
        budget (Budget): What the unpruned run would do.

    Returns:
        Tensor or None: Its weights, see :class:`PlannedPass`.
    """
    number, sampler = before.current.number + 1, batches.sampler
    if sampler.pruner is None or number == 0:
        return None
    step, samples = before.current.last_step, batches.samples_per_pass
    progress = Progress(budget, samples, step, before.visited)
    selection = select_pass(
        sampler.pruner, scores, sampler.seed, number, progress
    )
    return dense_weights(selection, len(scores))


def next_pass(
    before: PlannedPass,
    weights: Optional[Tensor],
    batches: Batches,
    budget: Budget,
) -> PlannedPass:
    """Plan the pass after another one. The sampler stays where it is.

    Args:
        before (PlannedPass): The pass before it.
        weights (Tensor, optional): Its weights, see :class:`PlannedPass`.
            Those of samples that :func:`drop_small_last` leaves out become
            0.
        batches (Batches): What passes are made of.
        budget (Budget): What the unpruned run would do.

    Returns:
        PlannedPass: The pass. It visits everything where ``drop_last`` would
        leave no batch of what was selected.
    """
    sampler = batches.sampler
    number, first_step = before.current.number + 1, before.current.end
    with sampler.during(before.indices):
        carried = _weights_at(
            sampler.left_over, before.weights, before.carried_weights, sampler
        )
        current = make_pass(
            number,
            first_step,
            weights,
            batches,
            budget,
            batches.without_small_last,
        )
        if weights is not None and len(sampler.left_out):
            weights[sampler.left_out.to(weights.device)] = 0
        if not current.length and not len(sampler.left_over):
            weights = None
            current = make_pass(number, first_step, weights, batches, budget)
        visited = before.visited + batches.samples_in(current.length)
        return PlannedPass(
            current, weights, carried, visited, sampler.pass_state
        )


def begin_earlier(
    planned: PlannedPass, steps: int, visited: int, batches: Batches, end: int
) -> PlannedPass:
    """Let a pass that has been selected begin earlier.

    Args:
        planned (PlannedPass): The pass.
        steps (int): By how many steps of the unpruned run.
        visited (int): By how many samples more are visited before it.
        batches (Batches): What passes are made of.
        end (int): Steps at the end of the run.

    Returns:
        PlannedPass: The pass. It is longer if the end of the run had cut it.
    """
    current = planned.current
    first, last = current.first_step - steps, current.last_step - steps
    length = current.length
    if current.last_step == end:
        last, width = end, end - first
        length = -(-length * width // (width - steps))
    with batches.sampler.during(planned.indices):
        visited += batches.samples_in(length)
        visited -= batches.samples_in(current.length)
    return planned._replace(
        current=Pass(current.number, first, last, length),
        visited=planned.visited + visited,
    )


def make_pass(
    number: int,
    first_step: int,
    weights: Optional[Tensor],
    batches: Batches,
    budget: Budget,
    limit: Optional[Callable[[int], int]] = None,
) -> Pass:
    """Let the sampler begin a pass, and find how long it is.

    Args:
        number (int): Its number, from 0.
        first_step (int): Steps of the unpruned run before it.
        weights (Tensor, optional): Its weights, see :class:`PlannedPass`.
        batches (Batches): What passes are made of.
        budget (Budget): What the unpruned run would do.
        limit (callable, optional): See :meth:`BLSSampler.begin_pass`.
            Defaults to None.
    """
    whole_end = budget.full_end(number)
    kept = None if weights is None else (weights > 0).cpu()
    batches.sampler.begin_pass(number, kept, whole_end - first_step, limit)
    last_step = budget.end(number)
    length = cut_length(batches.count(), first_step, whole_end, last_step)
    return Pass(number, first_step, last_step, length)


def batch_weights(
    weights: Optional[Tensor], carried_weights: Tensor, sampler: BLSSampler
) -> Optional[Tensor]:
    """Weights of a pass, with those of carried samples that it prunes.

    Args:
        weights (Tensor, optional): As in :class:`PlannedPass`.
        carried_weights (Tensor): As in :class:`PlannedPass`.
        sampler (BLSSampler): The sampler, in this pass.

    Returns:
        Tensor or None: Float32, shape (N,); None if all are 1.
    """
    if weights is None or not len(sampler.carried):
        return weights
    ids = _to_ids(sampler.carried, sampler)
    return with_carried(weights, ids, carried_weights)


def _weights_at(
    indices: Tensor,
    weights: Optional[Tensor],
    carried_weights: Tensor,
    sampler: BLSSampler,
) -> Tensor:
    """Weights of some indices in the pass of the sampler, on the CPU."""
    weights = batch_weights(weights, carried_weights, sampler)
    if weights is None:
        return torch.ones(len(indices))
    return weights[_to_ids(indices, sampler).to(weights.device)].cpu()


def _to_ids(indices: Tensor, sampler: BLSSampler) -> Tensor:
    of_index = sampler.samples.of_index
    return indices if of_index is None else of_index[indices]
