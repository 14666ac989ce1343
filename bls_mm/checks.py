"""Checks of settings, worded alike."""


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
