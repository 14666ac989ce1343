"""Write the report as one HTML file."""

from pathlib import Path
from typing import Any, Callable, Dict, List

from jinja2 import Environment, FileSystemLoader

_TEMPLATE = 'report.html.j2'
_MOST_CLASSES = 30


def shown_classes(
    rows: List[Dict[str, Any]], key: Callable[[Dict[str, Any]], float]
) -> List[Dict[str, Any]]:
    """The rows that a chart shows: all, or those at both ends of over 30.

    Args:
        rows (list[dict]): Classes.
        key (callable): What to sort by, the first to be shown first.
    """
    rows = sorted(rows, key=key)
    if len(rows) <= _MOST_CLASSES:
        return rows
    half = _MOST_CLASSES // 2
    return rows[:half] + rows[-half:]


def render(file: Path, **content: Any) -> None:
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
    page = environment.get_template(_TEMPLATE).render(**content)
    file.write_text(page, encoding='utf-8')
