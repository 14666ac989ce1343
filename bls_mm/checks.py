"""Checks of settings, worded alike."""

from numbers import Integral
from typing import Any


def check_range(
    name: str, value: float, low: float, high: float, interval: str
) -> None:
    """Refuse a setting outside an interval such as ``'[0, 1)'``.

    Raises:
        TypeError: If ``value`` is not a number.
        ValueError: If ``value`` is not in the interval.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f'`{name}` should be a number, but got {value!r}.')
    above = value >= low if interval[0] == '[' else value > low
    below = value <= high if interval[-1] == ']' else value < high
    if not (above and below):
        raise ValueError(f'`{name}` should be in {interval}, but got {value}.')


def check_integer(name: str, value: Any, low: int, high: int) -> int:
    """Refuse a setting that is not an integer in ``[low, high]``.

    Returns:
        int: The value, also of an integer type of numpy.

    Raises:
        TypeError: If ``value`` is not an integer.
        ValueError: If ``value`` is not in the interval.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f'`{name}` should be an integer, but got {value!r}.')
    number = int(value)
    if not low <= number <= high:
        raise ValueError(
            f'`{name}` should be in [{low}, {high}], but got {number}.'
        )
    return number


def check_bool(name: str, value: Any) -> None:
    """Refuse a setting such as ``'no'``, which Python takes for True.

    Raises:
        TypeError: If ``value`` is neither True nor False.
    """
    if not isinstance(value, bool) and value not in (0, 1):
        raise TypeError(
            f'`{name}` should be True or False, but got {value!r}.'
        )
