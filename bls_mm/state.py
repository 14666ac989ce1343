"""What a checkpoint holds of a pruned run, under one key."""

from typing import Any, Dict

import torch
from torch import Tensor

from .planner import PassPlanner
from .sample_ids import SampleIds
from .scores import Score

KEY = 'bls'
VERSION = 2

# Of each entry: the least number, or the dtype.
_NUMBERS = dict(
    world_size=1,
    numerator=1,
    denominator=1,
    seed=-(2**62),
    number=-1,
    first_step=0,
    done=0,
    finished=0,
    visited=0,
)
_LARGEST = 2**62  # sums of it still fit into 64 bits
_TENSORS = dict(
    scores=torch.float32,
    memory=torch.float32,
    weights=torch.float32,
    carried=torch.int64,
    carried_weights=torch.float32,
)
_ENTRIES = (*_NUMBERS, *_TENSORS)


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
        raise TypeError(_wrong('', 'a dict with entries', repr(state)))
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
    _check(state, planner, scores)
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
            _wrong('.done', f'at most {length}, the length of the pass', done)
        )
    planner.current.done = length  # a shorter run, which is over


def _check(
    state: Dict[str, Any], planner: PassPlanner, scores: Tensor
) -> None:
    if state.get('version') != VERSION:
        raise ValueError(
            f'The checkpoint holds BLS state of version '
            f'{state.get("version")}, but this bls_mm reads version {VERSION}.'
        )
    missing = [f'`{name}`' for name in _ENTRIES if name not in state]
    if missing:
        raise ValueError(
            f'`{KEY}` of the checkpoint should have the entry '
            f'{", ".join(missing)}, but got {sorted(state, key=str)}.'
        )
    for name, low in _NUMBERS.items():
        _check_number(state, name, low)
    for name, dtype in _TENSORS.items():
        _check_tensor(state, name, dtype)
    if len(state['scores']) != len(scores):
        raise ValueError(
            f'The checkpoint holds scores of {len(state["scores"])} samples, '
            f'but `train_dataloader.dataset` has {len(scores)}. Resume with '
            'the dataset of the checkpoint, or use `load_from` without '
            '`resume` to start with new scores.'
        )
    _check_pass(state)
    _check_weights(state, len(scores))
    _check_carried(state, planner.sampler.samples)


def _check_number(state: Dict[str, Any], name: str, low: int) -> None:
    value = state[name]
    if type(value) is not int:
        raise TypeError(_wrong(f'.{name}', 'an integer', repr(value)))
    if not low <= value <= _LARGEST:
        raise ValueError(_wrong(f'.{name}', f'in [{low}, {_LARGEST}]', value))


def _check_tensor(state: Dict[str, Any], name: str, dtype: Any) -> None:
    value = state[name]
    wanted = f'a {str(dtype).rpartition(".")[-1]} tensor of shape (n,)'
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        got = f'a {type(value).__name__}'
        raise TypeError(_wrong(f'.{name}', wanted, got))
    if value.dtype != dtype or value.dim() != 1:
        kind = str(value.dtype).rpartition('.')[-1]
        got = f'{kind} of shape {tuple(value.shape)}'
        raise ValueError(_wrong(f'.{name}', wanted, got))
    finite = torch.isfinite(value)
    if not finite.all():
        got = str(value[~finite][0].item())
        raise ValueError(_wrong(f'.{name}', 'finite', got))


def _check_pass(state: Dict[str, Any]) -> None:
    """The steps before a pass are those of earlier passes."""
    if state['finished'] > 1:
        raise ValueError(_wrong('.finished', '0 or 1', state['finished']))
    passes = state['number'] + 1 + state['finished']
    end = passes * state['numerator'] // state['denominator']
    if state['first_step'] > end:
        wanted = f'at most {end}, the end of the pass'
        raise ValueError(_wrong('.first_step', wanted, state['first_step']))


def _check_weights(state: Dict[str, Any], size: int) -> None:
    weights = state['weights']
    if len(weights) not in (0, size):
        wanted = f'empty or a weight for each of {size} samples'
        raise ValueError(_wrong('.weights', wanted, f'{len(weights)} weights'))
    wrong = weights[(weights != 0) & (weights < 1)]
    if len(wrong):
        raise ValueError(
            _wrong('.weights', '0 or at least 1', wrong[0].item())
        )
    if len(weights) and not weights.any():
        raise ValueError(_wrong('.weights', 'positive somewhere', 'only 0'))


def _check_carried(state: Dict[str, Any], samples: SampleIds) -> None:
    carried, weights = state['carried'], state['carried_weights']
    of_index = samples.of_index
    size = samples.count if of_index is None else len(of_index)
    most = 2 * state['denominator']  # two batches, see BLSSampler.begin_pass
    if len(carried) > most:
        wanted = f'of at most {most} indices'
        raise ValueError(_wrong('.carried', wanted, len(carried)))
    wrong = carried[(carried < 0) | (carried >= size)]
    if len(wrong):
        wanted = f'indices in [0, {size})'
        raise ValueError(_wrong('.carried', wanted, wrong[0].item()))
    if len(weights) != len(carried) or (weights < 1).any():
        wanted = f'{len(carried)} weights of at least 1'
        raise ValueError(_wrong('.carried_weights', wanted, weights.tolist()))


def _wrong(entry: str, wanted: str, got: Any) -> str:
    return (
        f'`{KEY}{entry}` of the checkpoint should be {wanted}, but got {got}.'
    )


def _batching(planner: PassPlanner) -> Dict[str, int]:
    return dict(
        world_size=planner.sampler.world_size,
        numerator=planner.budget.numerator,
        denominator=planner.budget.denominator,
    )


def _copy(tensor: Tensor) -> Tensor:
    return tensor.detach().to('cpu', copy=True)
