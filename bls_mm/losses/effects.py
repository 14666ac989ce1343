"""What a call changes besides its output."""

from collections import deque
from operator import is_
from typing import Any, Dict, List, Tuple

import numpy as np
from torch import Tensor, nn

from bls_mm.runner.private import versions_of

from .copies import MOST_VALUES, UNCHANGING, is_in_dict


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
        if isinstance(value, UNCHANGING):
            return
        if id(value) in seen or len(seen) > MOST_VALUES:
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
        elif is_in_dict(value):
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
