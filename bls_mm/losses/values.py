"""What a loss module is called with: tensors, and tuples of them."""

from typing import Any, Callable, Iterable, List

from torch import Tensor


def list_tensors(values: Iterable[Any]) -> List[Tensor]:
    """All tensors among some values, those in lists and tuples included."""
    found: List[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += list_tensors(value)
    return found


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply a function to all tensors of a value."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in (list, tuple):
        return type(value)(map_tensors(function, part) for part in value)
    return value


def detach_tensors(value: Any) -> Any:
    """The value with all of its tensors detached."""
    if isinstance(value, Tensor):  # as most are
        return value.detach() if value.requires_grad else value
    return map_tensors(detach_tensors, value)


def is_plain(value: Any) -> bool:
    """Whether a value is made of tensors, numbers, strings and None."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return isinstance(value, (Tensor, bool, int, float, str, type(None)))
