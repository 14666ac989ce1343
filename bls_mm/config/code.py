"""Values of a config as Python code, laid out as configs are."""

from typing import Any, List, Tuple

WIDTH = 79


class Code(str):
    """A Python expression, rendered as it stands instead of as a string."""

    __repr__ = str.__str__


def assignment(name: str, value: Any) -> str:
    """The statement that assigns a value to a name.

    Args:
        name (str): The target.
        value (object): The value, see :func:`render`.

    Returns:
        str: One or several lines, without the last line break.
    """
    return f'{name} = {render(value, len(name) + 3)}'


def render(value: Any, used: int = 0, indent: int = 0) -> str:
    """Code of a value, split over several lines if one is too short.

    Args:
        value (object): The value: dicts and lists are split, others not.
        used (int): Characters before it on its line, and after it.
            Defaults to 0.
        indent (int): Indentation of that line. Defaults to 0.

    Returns:
        str: A Python expression.
    """
    line = _one_line(value)
    if used + len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    start, items, end = _parts(value)
    inner = indent + 4
    lines = ''.join(
        f'{" " * inner}{key}{render(item, inner + len(key) + 1, inner)},\n'
        for key, item in items
    )
    return f'{start}\n{lines}{" " * indent}{end}'


def _one_line(value: Any) -> str:
    if not isinstance(value, (dict, list)):
        return repr(value)
    start, items, end = _parts(value)
    inside = ', '.join(f'{key}{_one_line(item)}' for key, item in items)
    return f'{start}{inside}{end}'


def _parts(value: Any) -> Tuple[str, List[Tuple[str, Any]], str]:
    """Opening, items with what stands before them, and end of a value."""
    if isinstance(value, list):
        return '[', [('', item) for item in value], ']'
    if all(isinstance(k, str) and k.isidentifier() for k in value):
        return 'dict(', [(f'{k}=', v) for k, v in value.items()], ')'
    return '{', [(f'{k!r}: ', v) for k, v in value.items()], '}'
