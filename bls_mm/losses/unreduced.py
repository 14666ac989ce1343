"""Calls of loss modules, made once more without the reduction."""

import copy
import inspect
from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

# Of predictions and losses: (B,), (B, C), (B, H, W) and (B, C, H, W).
_NDIMS = (1, 2, 3, 4)


class Call(NamedTuple):
    """A call of a loss module, with the values that it was given.

    Attributes:
        module (nn.Module): The module.
        args (list): Its arguments, tensors detached.
        kwargs (dict): Its keyword arguments, likewise.
    """

    module: nn.Module
    args: List[Any]
    kwargs: Dict[str, Any]

    @property
    def predictions(self) -> Any:
        """Its first value; None if there is none."""
        if self.args:
            return self.args[0]
        return next(iter(self.kwargs.values()), None)


@torch.no_grad()
def losses_of_samples(
    batches: Sequence[List[Call]], losses: Tensor, size: int
) -> Tensor:
    """Tell the losses of the samples of some batches.

    What of a loss did not come through the modules is shared equally, so
    that the mean over a batch is always its loss.

    Args:
        batches (list): The calls that were made for each of K batches.
        losses (Tensor): Loss of each batch, shape (K,).
        size (int): Samples in a batch.

    Returns:
        Tensor: Float32, shape (K, size).
    """
    if len({len(calls) for calls in batches}) > 1:
        rows = torch.cat([_summed([calls], size) for calls in batches])
    else:
        rows = _summed(batches, size)
    return rows + (losses - rows.mean(1))[:, None]


def _summed(batches: Sequence[List[Call]], size: int) -> Tensor:
    """Losses of samples, summed over the calls, shape (K, size)."""
    # The first calls of all batches, the second ones, and so on.
    rows = [_rows(calls, size) for calls in zip(*batches)]
    return torch.stack(rows).sum(0) if len(rows) > 1 else rows[0]


def _rows(calls: Sequence[Call], size: int) -> Tensor:
    """Losses of samples from one call for each batch, shape (K, size)."""
    try:
        losses = _unreduced(_joined(calls, size)).float()
        return losses.view(len(calls), size, -1).mean(2)
    except (ValueError, RuntimeError, TypeError):
        if len(calls) == 1:
            raise
        return torch.cat([_rows([call], size) for call in calls])


def _joined(calls: Sequence[Call], size: int) -> Call:
    """One call with the rows of all.

    Raises:
        ValueError: If the calls are not alike, as :func:`_joined_values`.
        RuntimeError: Likewise.
        TypeError: Likewise.
    """
    first = calls[0]
    if len(calls) == 1:
        return first
    if any(
        call.module is not first.module
        or len(call.args) != len(first.args)
        or call.kwargs.keys() != first.kwargs.keys()
        for call in calls
    ):
        raise ValueError('Not the same call in all of the batches.')
    return Call(
        first.module,
        [_joined_values(v, size) for v in zip(*(c.args for c in calls))],
        {
            name: _joined_values([c.kwargs[name] for c in calls], size)
            for name in first.kwargs
        },
    )


def _joined_values(values: Sequence[Any], size: int) -> Any:
    """The rows of all batches, or the value that all of them have.

    Raises:
        ValueError: If it is neither.
        RuntimeError: If rows are not alike.
        TypeError: If some are no tensors.
    """
    first = values[0]
    if all(value is first for value in values):
        return first
    if isinstance(first, Tensor):
        rows = torch.cat(tuple(values))
        if len(first) == size and len(rows) == size * len(values):
            return rows
    elif all(type(v) is type(first) and v == first for v in values):
        return first
    raise ValueError('Not the same in all of the batches.')


@torch.no_grad()
def can_do_without_reduction(calls: Sequence[Call], size: int) -> bool:
    """Whether the modules of some calls return a loss for each sample."""
    try:
        return all(has_rows(_unreduced(call), size) for call in calls)
    except Exception:  # not every module can do without
        return False


def _unreduced(call: Call) -> Any:
    """What a loss module returns without its reduction."""
    module, args, kwargs = call
    forward = type(module).forward  # the module's own may be listened to
    if takes_override(module):
        return forward(
            module, *args, **{**kwargs, 'reduction_override': 'none'}
        )
    twin = copy.copy(module)  # the module itself stays as it is
    twin.__dict__['reduction'] = 'none'
    return forward(twin, *args, **kwargs)


def has_rows(values: Any, size: Optional[int]) -> bool:
    """Whether these are predictions or losses with one row or map a sample."""
    return (
        isinstance(values, Tensor)
        and values.ndim in _NDIMS
        and len(values) == size
    )


def takes_override(module: nn.Module) -> bool:
    """Whether a module takes the argument that OpenMMLab's losses take."""
    forward = inspect.signature(type(module).forward)
    return 'reduction_override' in forward.parameters
