"""Copies of loss modules, so that a call of one leaves the module alone."""

import copy
import functools
import types
from collections import deque
from enum import Enum
from typing import Any, Dict, Optional

import numpy as np
import torch
from torch import Tensor, nn

from .listened import original_class

# Values that a loss module may hold, those of its parts included. One that
# holds a model or a dataset is not to be copied.
MOST_VALUES = 2000
UNCHANGING = (
    type(None), bool, int, float, complex, str, bytes, range, slice, type,
    Enum, np.generic, torch.dtype, torch.device, torch.Size,
    types.FunctionType, types.BuiltinFunctionType, types.ModuleType,
)  # fmt: skip


class UnknownStateError(Exception):
    """A module holds something whose changes cannot be seen or undone."""


def copy_state(value: Any, known: Optional[Dict[int, Any]] = None) -> Any:
    """Copy a module so that a call of the copy does not change the module.

    Args:
        value (nn.Module): The module, or a value that it holds.
        known (dict, optional): Copies by the id of what they are of. Defaults
            to None, none yet.

    Returns:
        nn.Module: The copy, of the original class where the module is
        listened to, and without the hooks that others have put on it.

    Raises:
        UnknownStateError: If it holds parameters, or what nobody can copy.
    """
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    if len(known) > MOST_VALUES:
        raise UnknownStateError('holds more than a loss needs')
    made = _copy(value, known)
    known[id(value)] = made
    return made


def _copy(value: Any, known: Dict[int, Any]) -> Any:
    made: Any
    if isinstance(value, UNCHANGING) or value is Ellipsis:
        return value
    if isinstance(value, nn.Parameter):
        raise UnknownStateError('holds parameters')
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, types.MethodType):
        owner = copy_state(value.__self__, known)
        return types.MethodType(value.__func__, owner)
    if isinstance(value, functools.partial):
        parts = [value.func, list(value.args), dict(value.keywords)]
        function, args, keywords = (copy_state(p, known) for p in parts)
        return functools.partial(function, *args, **keywords)
    if type(value) is tuple or isinstance(value, frozenset):
        return type(value)(copy_state(v, known) for v in value)
    if isinstance(value, dict):
        made = known[id(value)] = copy.copy(value)
        for name, held in value.items():
            made[name] = copy_state(held, known)
        return made
    if isinstance(value, (list, set, deque)):
        made = known[id(value)] = copy.copy(value)
        made.clear()
        add = made.add if isinstance(made, set) else made.append
        for held in value:
            add(copy_state(held, known))
        return made
    if not is_in_dict(value):
        raise UnknownStateError(f'holds a {type(value).__name__}')
    cls: Any = type(value)
    if isinstance(value, nn.Module):
        cls = original_class(value)
    made = known[id(value)] = object.__new__(cls)
    for name, held in vars(value).items():
        if isinstance(value, nn.Module) and name.endswith('_hooks'):
            vars(made)[name] = type(held)()
        else:
            vars(made)[name] = copy_state(held, known)
    return made


def is_in_dict(value: Any) -> bool:
    """Whether an object is all in its ``__dict__``."""
    cls: Any = type(value)
    return isinstance(value, nn.Module) or (
        hasattr(value, '__dict__')
        and cls.__reduce__ is object.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
    )
