"""What a checkpoint holds of a pruned run, under one key."""

from typing import Any, Dict

import torch
from torch import Tensor

from bls_mm.passes.planner import PassPlanner
from bls_mm.scores import Score

from .validation import KEY, VERSION, check, wrong


def pack(planner: PassPlanner, scores: Tensor, score: Score) -> Dict[str, Any]:
    """Collect the state of a run as tensors, numbers and strings.

    Keys: ``version``; ``scores`` (N,) float32; ``memory`` (M,) float32 of the
    score; ``weights`` (N,) float32, 0
    for samples pruned in this pass, or empty if all are 1; ``carried`` (C,)
    int64 and ``carried_weights`` (C,) float32, samples left over from the
    pass before; ``seed``; of the pass ``number``, ``first_step``, ``done`` and
    whether it is ``finished``; ``visited``; what decides over batches:
    ``world_size``, ``numerator`` and ``denominator`` of the budget. Tensors
    are copies on the CPU.

    Args:
        planner (PassPlanner): The planner.
        scores (Tensor): Scores, shape (N,).
        score (Score): What makes them.
    """
    sampler, current = planner.sampler, planner.current
    weights = planner.weights
    return dict(
        version=VERSION,
        scores=_copy(scores),
        memory=_copy(score.memory),
        weights=torch.empty(0) if weights is None else _copy(weights),
        carried=sampler.carried.clone(),
        carried_weights=planner.carried_weights.clone(),
        seed=int(sampler.seed),
        number=current.number,
        first_step=current.first_step,
        done=current.done,
        finished=int(current.done >= current.length),
        visited=planner.visited,
        **_batching(planner),
    )


def find(checkpoint: Dict[str, Any]) -> Dict[str, Any]:
    """The state in a checkpoint; empty if it was saved without BLSHook.

    Raises:
        TypeError: If what stands there is not a state.
    """
    state = checkpoint.get(KEY, {})
    if not isinstance(state, dict) or (KEY in checkpoint and not state):
        raise TypeError(wrong('', 'a dict with entries', repr(state)))
    return state


def unpack(
    state: Dict[str, Any], planner: PassPlanner, scores: Tensor, score: Score
) -> None:
    """Put a run back to where :func:`pack` saw it.

    Nothing is taken over before all of it has been checked, but for the
    length of the pass, which only the planner can tell.

    Args:
        state (dict): What :func:`pack` returned, or what a file of any
            origin holds in its place.
        planner (PassPlanner): The new planner, before its first pass.
        scores (Tensor): The new scores, shape (N,). Changed in place.
        score (Score): What makes them. Its memory is changed in place, unless
            the checkpoint is one of another score.

    Raises:
        TypeError: If an entry is of the wrong type.
        ValueError: If the state is of another format or dataset size, an
            entry is missing or out of range, or it is of the middle of a
            pass with other batches.
    """
    check(state, len(scores), planner.sampler.samples)
    scores.copy_(state['scores'])
    if len(state['memory']) == len(score.memory):
        score.memory.copy_(state['memory'])
    planner.sampler.seed = state['seed']
    if all(state[k] == v for k, v in _batching(planner).items()):
        _resume_pass(state, planner, scores.device)
    elif state['finished'] and planner.budget.denominator == 1:
        planner.skip_to(planner.budget.end(state['number']))
    else:
        raise ValueError(
            'The checkpoint was saved in the middle of a pass with other '
            'batches: `train_dataloader.batch_size` and the number of GPUs '
            'should be those of the run that is resumed, or the checkpoint '
            'one from the end of an epoch.'
        )
    planner.visited = state['visited']


def _resume_pass(
    state: Dict[str, Any], planner: PassPlanner, device: torch.device
) -> None:
    number, first_step, done = (
        state[name] for name in ('number', 'first_step', 'done')
    )
    budget = planner.budget
    before_a_pass = state['finished'] and not done
    if before_a_pass or first_step >= budget.steps:  # a shorter run is over
        planner.skip_to(min(first_step, budget.steps))
        return
    if len(state['weights']):
        planner.weights = state['weights'].to(device)
    planner.carried_weights = state['carried_weights'].cpu()
    planner.sampler.carried = state['carried'].cpu()
    planner.resume_pass(number, first_step, done)
    length = planner.current.length
    if done <= length:
        return
    if budget.full_end(number) <= budget.steps:
        raise ValueError(
            wrong('.done', f'at most {length}, the length of the pass', done)
        )
    planner.current.done = length  # a shorter run, which is over


def _batching(planner: PassPlanner) -> Dict[str, int]:
    return dict(
        world_size=planner.sampler.world_size,
        numerator=planner.budget.numerator,
        denominator=planner.budget.denominator,
    )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to('cpu', copy=True)
