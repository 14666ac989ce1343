"""Calls of loss modules, written down to be made once more."""

from typing import Any, Dict, List, NamedTuple, Optional, Sequence

import torch
from torch import Tensor, nn

from bls_mm.runner.private import versions_of

from .twin import Twin
from .values import list_tensors

# Of predictions and losses: from (B,) to videos, (B, T, C, H, W).
_NDIMS = (1, 2, 3, 4, 5)

NO_ROWS = 'has no loss for each sample of some batches'


class Call(NamedTuple):
    """A call of a loss module, with the values that it was given.

    Attributes:
        twin (Twin): The module, and a copy of it for another call.
        args (list): Its arguments, tensors detached.
        kwargs (dict): Its keyword arguments, likewise.
        versions (list[int]): How often each tensor among them had been
            changed in place before the call.
        output (object): What it returned, where it has no reduction to be
            left out; else None. Defaults to None.
    """

    twin: Twin
    args: List[Any]
    kwargs: Dict[str, Any]
    versions: List[int]
    output: Any = None

    @property
    def module(self) -> nn.Module:
        """The module."""
        return self.twin.module

    @property
    def predictions(self) -> Any:
        """Its first tensor; None if there is none."""
        return next(iter(self.tensors), None)

    @property
    def tensors(self) -> List[Tensor]:
        """All tensors that it was given."""
        return list_tensors([*self.args, *self.kwargs.values()])

    @property
    def is_as_made(self) -> bool:
        """Whether no tensor was changed in place since before the call."""
        return versions_of(self.tensors) == self.versions


def join_calls(calls: Sequence[Call], size: int) -> Call:
    """One call with the rows of all.

    Raises:
        ValueError: If the calls are not alike, see below.
        RuntimeError: Likewise.
        TypeError: Likewise.
    """
    first = calls[0]
    if any(
        call.twin is not first.twin
        or len(call.args) != len(first.args)
        or call.kwargs.keys() != first.kwargs.keys()
        for call in calls
    ):
        raise ValueError('Not the same call in all of the batches.')
    return Call(
        first.twin,
        [_join_values(v, size) for v in zip(*(c.args for c in calls))],
        {
            name: _join_values([c.kwargs[name] for c in calls], size)
            for name in first.kwargs
        },
        [],
    )


def _join_values(values: Sequence[Any], size: int) -> Any:
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
    elif type(first) in (list, tuple) and len({len(v) for v in values}) == 1:
        return type(first)(_join_values(v, size) for v in zip(*values))
    elif all(type(v) is type(first) and v == first for v in values):
        return first
    raise ValueError('Not the same in all of the batches.')


def has_rows(values: Any, size: Optional[int]) -> bool:
    """Whether these are predictions or losses with one row or map a sample."""
    return (
        isinstance(values, Tensor)
        and values.ndim in _NDIMS
        and values.size(0) == size
    )
