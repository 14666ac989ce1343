"""What a call changes besides its output, and how to keep it from that."""

import copy
import functools
import random  # noqa: TID251  to leave its state as it is
import types
from collections import deque
from enum import Enum
from operator import is_
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from bls_mm.runner.private import submodules, versions_of

from .listened import original_class

# Values that a loss module may hold, those of its parts included. One that
# holds a model or a dataset is not to be copied.
_MOST_VALUES = 2000
_UNCHANGING = (
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
    if len(known) > _MOST_VALUES:
        raise UnknownStateError('holds more than a loss needs')
    made = _copy(value, known)
    known[id(value)] = made
    return made


def _copy(value: Any, known: Dict[int, Any]) -> Any:
    made: Any
    if isinstance(value, _UNCHANGING) or value is Ellipsis:
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
    if not _is_plain(value):
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


def _is_plain(value: Any) -> bool:
    """Whether an object is all in its ``__dict__``."""
    cls: Any = type(value)
    return isinstance(value, nn.Module) or (
        hasattr(value, '__dict__')
        and cls.__reduce__ is object.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
    )


class Snapshot:
    """What a module holds, to see later whether it has changed.

    A tensor is known by its identity and the count of changes in place, so
    nothing is read from a device. Whatever is compared is kept alive.

    Args:
        module (nn.Module): The module.
        and_class (bool): Whether to look at what its class holds, too.
            Defaults to False.
    """

    def __init__(self, module: nn.Module, and_class: bool = False) -> None:
        self._tensors: List[Tensor] = []
        self._arrays: List[Tuple[np.ndarray, bytes]] = []
        # Dicts by their views of keys and values, others as they are.
        self._parts: List[Tuple[Any, List[Any]]] = []
        seen: Dict[int, Any] = {}
        self._add(module, seen)
        if and_class:
            for cls in type(module).__mro__:
                if cls not in nn.Module.__mro__:
                    self._add_parts(vars(cls), seen)
        self._versions = versions_of(self._tensors)

    def is_changed(self) -> bool:
        """Whether anything was replaced or changed in place since."""
        for parts, then in self._parts:
            if len(parts) != len(then):
                return True
            # The former is a third of the cost.
            if not (
                all(map(is_, parts, then)) or all(map(_is_same, parts, then))
            ):
                return True
        if versions_of(self._tensors) != self._versions:
            return True
        return any(array.tobytes() != then for array, then in self._arrays)

    def _add(self, value: Any, seen: Dict[int, Any]) -> None:
        """Add what a value holds, each object once."""
        if isinstance(value, _UNCHANGING):
            return
        if id(value) in seen or len(seen) > _MOST_VALUES:
            return
        seen[id(value)] = value
        if isinstance(value, Tensor):
            self._tensors.append(value)
        elif isinstance(value, np.ndarray):
            self._arrays.append((value, value.tobytes()))
        elif isinstance(value, dict):
            self._add_parts(value, seen)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            self._add_elements(value, seen)
        elif _is_plain(value):
            self._add_parts(vars(value), seen)

    def _add_parts(self, held: Any, seen: Dict[int, Any]) -> None:
        self._add_elements(held.keys(), seen)
        self._add_elements(held.values(), seen)

    def _add_elements(self, parts: Any, seen: Dict[int, Any]) -> None:
        held = list(parts)
        self._parts.append((parts, held))
        for value in held:
            self._add(value, seen)


def _is_same(one: Any, other: Any) -> bool:
    """Whether a value is the one that was there, or a number like it."""
    if one is other:
        return True
    return (
        type(one) is type(other)
        and isinstance(one, (bool, int, float, complex, str, bytes))
        and one == other
    )


def places(
    model: nn.Module, name: str
) -> List[Tuple[Dict[str, Any], str, nn.Module]]:
    """Where the modules on the way to a named module are registered.

    Returns:
        list[tuple]: For each of them, the dict that holds it, its name there,
        and the module.
    """
    found = []
    for part in name.split('.'):
        held = submodules(model)
        model = held[part]
        found.append((held, part, model))
    return found


class RandomState:
    """State of the random number generators that everyone shares.

    Args:
        device (torch.device): Device of which to look at the generator, too.
        of_torch_only (bool): Whether to leave out those of Python and NumPy,
            which take ten times as long to read. Defaults to False.
    """

    def __init__(
        self, device: torch.device, of_torch_only: bool = False
    ) -> None:
        self._device = device
        self._module: Any = getattr(torch, device.type, None)
        if device.type in ('cpu', 'mps', 'meta'):
            self._module = None
        self._torch = self._torch_states()
        self._python: Any = None
        if not of_torch_only:
            self._python = random.getstate()
            self._numpy = np.random.get_state()  # noqa: NPY002  not to draw

    def is_changed(self) -> bool:
        """Whether numbers have been drawn since."""
        if not all(map(_equal, self._torch_states(), self._torch)):
            return True
        if self._python is None:
            return False
        now: Any = np.random.get_state()  # noqa: NPY002
        then: Any = self._numpy
        return (
            random.getstate() != self._python
            or now[2:] != then[2:]
            or not np.array_equal(now[1], then[1])
        )

    def restore(self) -> None:
        """Go back to the state that was read."""
        if self._python is not None:
            random.setstate(self._python)
            np.random.set_state(self._numpy)  # noqa: NPY002
        torch.set_rng_state(self._torch[0])  # noqa: TID251
        for state in self._torch[1:]:
            self._module.set_rng_state(state, self._device)

    def _torch_states(self) -> List[Tensor]:
        states = [torch.get_rng_state()]
        if self._module is not None:
            states.append(self._module.get_rng_state(self._device))
        return states


def _equal(one: Tensor, other: Tensor) -> bool:
    """Whether two states are the same; they are on the CPU in any case."""
    return _bytes(one) == _bytes(other)


def _bytes(state: Tensor) -> bytes:
    return np.from_dlpack(state).tobytes()
