"""What a check of many configs found, as text."""

import re
from collections import Counter, defaultdict
from importlib.metadata import distributions
from typing import Any, Dict, Iterable, Iterator, List

from .run import VERDICTS


def format_results(results: Iterable[Dict[str, Any]]) -> str:
    """Two lines for each config that did not pass, and a table.

    Args:
        results (Iterable[dict]): What :func:`sweep` yields, with the zoo
            path of each config as ``name``.

    Returns:
        str: The text, which names the installed versions.
    """
    ordered = sorted(results, key=lambda result: result['name'])
    lines = [*_complaints(ordered), '', versions(), '', *_table(ordered)]
    return '\n'.join(lines)


def _complaints(results: List[Dict[str, Any]]) -> Iterator[str]:
    for result in results:
        if result['verdict'] not in ('passed', 'no training'):
            yield f'{result["verdict"]:10} {result["name"]}'
            yield f'{"":10} {result["reason"][:300]}'


def _table(results: List[Dict[str, Any]]) -> Iterator[str]:
    by_package = defaultdict(list)
    for result in results:
        by_package[result['name'].partition('::')[0]].append(result)
    yield _row('package', 'configs', *VERDICTS, 'unreadable')
    for package, checked in [*by_package.items(), ('all', results)]:
        counts = Counter(result['verdict'] for result in checked)
        numbers = [counts[verdict] for verdict in VERDICTS]
        yield _row(package, sum(numbers), *numbers, counts['unreadable'])


def _row(*cells: Any) -> str:
    return ' '.join(f'{cell:>10}' for cell in cells)


def versions() -> str:
    """The installed packages of the OpenMMLab family, and torch.

    Returns:
        str: Names and versions, in one line.
    """
    family = 'torch|(onedl-)?mm[a-z0-9]+(-dev|-lite)?'
    installed = {d.metadata['Name']: d.version for d in distributions()}
    return ', '.join(
        f'{name} {installed[name]}'
        for name in sorted(installed)
        if re.fullmatch(family, name)
    )
