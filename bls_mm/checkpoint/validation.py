"""What a checkpoint may hold as the state of a run."""

from typing import Any, Dict

import torch
from torch import Tensor

from bls_mm.datasets.sample_ids import SampleIds

KEY = 'bls'
VERSION = 3
# Version 2 knew nothing of passes that are selected before their turn.
READABLE = (2, VERSION)

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
    first_scored=0,
)
_LARGEST = 2**62  # sums of it still fit into 64 bits
_TENSORS = dict(
    scores=torch.float32,
    memory=torch.float32,
    weights=torch.float32,
    carried=torch.int64,
    carried_weights=torch.float32,
)
_ENTRIES = (*_NUMBERS, *_TENSORS, 'planned')


def validate_state(
    state: Dict[str, Any], size: int, samples: SampleIds
) -> None:
    """Refuse a state that no run of these samples can have saved.

    Args:
        state (dict): What a file of any origin holds in its place.
        size (int): Number of samples with a score.
        samples (SampleIds): The samples of the dataset.

    Raises:
        TypeError: If an entry is of the wrong type.
        ValueError: If the state is of another format or dataset size, or an
            entry is missing or out of range.
    """
    if state.get('version') != VERSION:
        raise ValueError(
            f'The checkpoint holds BLS state of version '
            f'{state.get("version")}, but this bls_mm reads versions '
            f'{READABLE[0]} to {VERSION}.'
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
        _check_tensor(state[name], f'.{name}', dtype)
    if len(state['scores']) != size:
        raise ValueError(
            f'The checkpoint holds scores of {len(state["scores"])} samples, '
            f'but `train_dataloader.dataset` has {size}. Resume with '
            'the dataset of the checkpoint (one that draws its samples at '
            'random, as CBGSDataset, needs `randomness=dict(seed=...)` to '
            'draw the same), or use `load_from` without `resume` to start '
            'with new scores.'
        )
    _check_pass(state)
    _check_weights(state['weights'], '.weights', size)
    _check_planned(state['planned'], size)
    _check_carried(state, samples)


def upgrade_state(state: Dict[str, Any]) -> Dict[str, Any]:
    """A state of the current version from one of an earlier version."""
    if state.get('version') != 2:
        return state
    return dict(state, version=VERSION, first_scored=0, planned=[])


def _check_number(state: Dict[str, Any], name: str, low: int) -> None:
    value = state[name]
    if type(value) is not int:
        raise TypeError(describe_error(f'.{name}', 'an integer', repr(value)))
    if not low <= value <= _LARGEST:
        raise ValueError(
            describe_error(f'.{name}', f'in [{low}, {_LARGEST}]', value)
        )


def _check_tensor(value: Any, entry: str, dtype: Any) -> None:
    wanted = f'a {str(dtype).rpartition(".")[-1]} tensor of shape (n,)'
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        got = f'a {type(value).__name__}'
        raise TypeError(describe_error(entry, wanted, got))
    if value.dtype != dtype or value.dim() != 1:
        kind = str(value.dtype).rpartition('.')[-1]
        got = f'{kind} of shape {tuple(value.shape)}'
        raise ValueError(describe_error(entry, wanted, got))
    finite = torch.isfinite(value)
    if not finite.all():
        got = str(value[~finite][0].item())
        raise ValueError(describe_error(entry, 'finite', got))


def _check_pass(state: Dict[str, Any]) -> None:
    """The steps before a pass are those of earlier passes."""
    if state['finished'] > 1:
        raise ValueError(
            describe_error('.finished', '0 or 1', state['finished'])
        )
    passes = state['number'] + 1 + state['finished']
    end = passes * state['numerator'] // state['denominator']
    if state['first_step'] > end:
        wanted = f'at most {end}, the end of the pass'
        raise ValueError(
            describe_error('.first_step', wanted, state['first_step'])
        )


def _check_weights(weights: Tensor, entry: str, size: int) -> None:
    if len(weights) not in (0, size):
        wanted = f'empty or a weight for each of {size} samples'
        raise ValueError(
            describe_error(entry, wanted, f'{len(weights)} weights')
        )
    small = weights[(weights != 0) & (weights < 1)]
    if len(small):
        raise ValueError(
            describe_error(entry, '0 or at least 1', small[0].item())
        )
    if len(weights) and not weights.any():
        raise ValueError(describe_error(entry, 'positive somewhere', 'only 0'))


def _check_planned(planned: Any, size: int) -> None:
    if not isinstance(planned, list):
        got = f'a {type(planned).__name__}'
        raise TypeError(describe_error('.planned', 'a list', got))
    for place, weights in enumerate(planned):
        entry = f'.planned[{place}]'
        _check_tensor(weights, entry, torch.float32)
        _check_weights(weights, entry, size)


def _check_carried(state: Dict[str, Any], samples: SampleIds) -> None:
    carried, weights = state['carried'], state['carried_weights']
    of_index = samples.of_index
    size = samples.count if of_index is None else len(of_index)
    most = 2 * state['denominator']  # two batches, see BLSSampler.begin_pass
    if len(carried) > most:
        wanted = f'of at most {most} indices'
        raise ValueError(describe_error('.carried', wanted, len(carried)))
    outside = carried[(carried < 0) | (carried >= size)]
    if len(outside):
        wanted = f'indices in [0, {size})'
        raise ValueError(describe_error('.carried', wanted, outside[0].item()))
    if len(weights) != len(carried) or (weights < 1).any():
        wanted = f'{len(carried)} weights of at least 1'
        raise ValueError(
            describe_error('.carried_weights', wanted, weights.tolist())
        )


def describe_error(entry: str, wanted: str, got: Any) -> str:
    """What an error says of an entry."""
    return (
        f'`{KEY}{entry}` of the checkpoint should be {wanted}, but got {got}.'
    )
