"""What a checkpoint holds of a pruned run, under one key."""

from typing import Any, Dict

import torch
from torch import Tensor

from .planner import PassPlanner

KEY = 'bls'
VERSION = 1


def pack(planner: PassPlanner, scores: Tensor) -> Dict[str, Any]:
    """Collect the state of a run as tensors, numbers and strings.

    Keys: ``version``; ``scores`` (N,) float32; ``weights`` (N,) float32, 0
    for samples pruned in this pass, or empty if all are 1; ``carried`` (C,)
    int64 and ``carried_weights`` (C,) float32, samples left over from the
    pass before; ``seed``; of the pass ``number``, ``first_step``, ``done`` and
    whether it is ``finished``; ``visited``; what decides over batches:
    ``world_size``, ``numerator`` and ``denominator`` of the budget. Tensors
    are copies on the CPU.

    Args:
        planner (PassPlanner): The planner.
        scores (Tensor): Scores, shape (N,).
    """
    sampler, current = planner.sampler, planner.current
    weights = planner.weights
    return dict(
        version=VERSION,
        scores=_copy(scores),
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


def unpack(
    state: Dict[str, Any], planner: PassPlanner, scores: Tensor
) -> None:
    """Put a run back to where :func:`pack` saw it.

    Args:
        state (dict): What :func:`pack` returned.
        planner (PassPlanner): The new planner, before its first pass.
        scores (Tensor): The new scores, shape (N,). Changed in place.

    Raises:
        ValueError: If the state is of another format or dataset size, or of
            the middle of a pass with other batches.
    """
    _check(state, scores)
    scores.copy_(state['scores'])
    planner.sampler.seed = state['seed']
    number = state['number']
    if all(state[k] == v for k, v in _batching(planner).items()):
        if len(state['weights']):
            planner.weights = state['weights'].to(scores.device)
        planner.carried_weights = state['carried_weights'].cpu()
        planner.sampler.carried = state['carried'].cpu()
        planner.resume_pass(number, state['first_step'], state['done'])
    elif state['finished'] and planner.budget.denominator == 1:
        planner.skip_to(planner.budget.end(number))
    else:
        raise ValueError(
            'The checkpoint was saved in the middle of a pass with other '
            'batches: `train_dataloader.batch_size` and the number of GPUs '
            'should be those of the run that is resumed, or the checkpoint '
            'one from the end of an epoch.'
        )
    planner.visited = state['visited']


def _check(state: Dict[str, Any], scores: Tensor) -> None:
    if state.get('version') != VERSION:
        raise ValueError(
            f'The checkpoint holds BLS state of version '
            f'{state.get("version")}, but this bls_mm reads version {VERSION}.'
        )
    if len(state['scores']) != len(scores):
        raise ValueError(
            f'The checkpoint holds scores of {len(state["scores"])} samples, '
            f'but `train_dataloader.dataset` has {len(scores)}. Resume with '
            'the dataset of the checkpoint, or use `load_from` without '
            '`resume` to start with new scores.'
        )


def _batching(planner: PassPlanner) -> Dict[str, int]:
    return dict(
        world_size=planner.sampler.world_size,
        numerator=planner.budget.numerator,
        denominator=planner.budget.denominator,
    )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to('cpu', copy=True)
