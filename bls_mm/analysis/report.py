"""Write the report of `tools/analyze_scores.py` as one HTML file."""

import base64
import io
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from PIL import Image

_TEMPLATE = 'report.html.j2'
_SIDE = 240  # pixels of a picture, for sharp ones of half of that
_MOST_CLASSES = 30


def shown_classes(rows, key):
    """The rows that a chart shows: all, or those at both ends.

    Args:
        rows (list[dict]): Classes.
        key (callable): What to sort by, the first to be shown first.
    """
    rows = sorted(rows, key=key)
    if len(rows) <= _MOST_CLASSES:
        return rows
    half = _MOST_CLASSES // 2
    return rows[:half] + rows[-half:]


def encode(picture):
    """A picture as the address of an ``<img>``.

    Args:
        picture (ndarray): Uint8, RGB, shape (H, W, 3).
    """
    image = Image.fromarray(picture)
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, 'JPEG', quality=85, optimize=True)
    code = base64.b64encode(buffer.getvalue()).decode()
    return f'data:image/jpeg;base64,{code}'


def duration(seconds):
    """A time as one would say it."""
    for unit, size in (('h', 3600), ('min', 60)):
        if seconds >= 2 * size:
            return f'{seconds / size:.1f} {unit}'
    return f'{seconds:.0f} s'


def render(file, **content):
    """Write the report.

    Args:
        file (Path): Where to.
        **content: What the template asks for.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['duration'] = duration
    page = environment.get_template(_TEMPLATE).render(**content)
    file.write_text(page, encoding='utf-8')
