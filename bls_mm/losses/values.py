"""What a loss module is called with: tensors, and tuples of them."""

from typing import Any, Callable, Iterator

from torch import Tensor


def tensors_in(value: Any) -> Iterator[Tensor]:
    """All tensors of a value, a list or tuple of values, or nested ones."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def first_tensor(value: Any) -> Any:
    """The first tensor of a value; None if there is none."""
    return next(tensors_in(value), None)


def map_tensors(function: Callable[[Tensor], Any], value: Any) -> Any:
    """Apply a function to all tensors of a value."""
    if isinstance(value, Tensor):
        return function(value)
    if type(value) in (list, tuple):
        return type(value)(map_tensors(function, part) for part in value)
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is made of tensors, numbers, strings and None."""
    if isinstance(value, (list, tuple)):
        return all(map(is_plain, value))
    return isinstance(value, (Tensor, bool, int, float, str, type(None)))
