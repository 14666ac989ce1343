"""Values of a config as Python code, laid out as configs are."""

WIDTH = 79


class Code(str):
    """A Python expression, which stands for itself in a rendered value."""

    __repr__ = str.__str__


def assignment(name, value):
    return f'{name} = {render(value, len(name) + 3)}'


def render(value, used=0, indent=0):
    """Code of a value, on several lines where one is too short.

    Args:
        value (object): The value.
        used (int): Characters before it on its line, and after it.
            Defaults to 0.
        indent (int): Indentation of that line. Defaults to 0.
    """
    line = one_line(value)
    if used + len(line) <= WIDTH or not isinstance(value, (dict, list)):
        return line
    start, items, end = parts_of(value)
    inner = indent + 4
    lines = ''.join(
        f'{" " * inner}{key}{render(item, inner + len(key) + 1, inner)},\n'
        for key, item in items
    )
    return f'{start}\n{lines}{" " * indent}{end}'


def one_line(value):
    if not isinstance(value, (dict, list)):
        return repr(value)
    start, items, end = parts_of(value)
    inside = ', '.join(f'{key}{one_line(item)}' for key, item in items)
    return f'{start}{inside}{end}'


def parts_of(value):
    """Opening, items with what stands before them, and end of a value."""
    if isinstance(value, list):
        return '[', [('', item) for item in value], ']'
    if all(isinstance(k, str) and k.isidentifier() for k in value):
        return 'dict(', [(f'{k}=', v) for k, v in value.items()], ')'
    return '{', [(f'{k!r}: ', v) for k, v in value.items()], '}'
