"""A data set that is there as a whole or not at all."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, TypeVar, Union

import numpy as np

from bls_mm.checks import check_integer

MARKER = '.complete'
T = TypeVar('T')


def write_once(
    out: Union[str, Path],
    settings: Dict[str, Any],
    write: Callable[[Path], Dict[str, int]],
) -> Dict[str, int]:
    """Write a folder unless it is there already.

    Whoever sees the folder sees all of it: it appears in one rename.

    Args:
        out (str or Path): The folder.
        settings (dict): What its content depends on, as for JSON.
        write (Callable): Writes into the folder that it is given, and returns
            the number of samples of each split.

    Returns:
        dict[str, int]: Those numbers.

    Raises:
        FileExistsError: If the folder is there with other settings, or has
            not been written here.
    """
    out = Path(out)
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f'.{out.name}-', dir=out.parent))
        try:
            counts = write(part)
            content = dict(settings=settings, counts=counts)
            (part / MARKER).write_text(json.dumps(content))
            part.chmod(0o755)  # mkdtemp makes it private
            os.rename(part, out)
        except OSError:
            if not out.exists():  # else another process was faster
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
    try:
        content = json.loads((out / MARKER).read_text())
        before, counts = content['settings'], content['counts']
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        before = None
    if before != json.loads(json.dumps(settings)):
        raise FileExistsError(
            f'`{out}` exists, but was made from another source or with other '
            'settings. Remove it, or choose another `out`.'
        )
    return counts


def draw_subset(
    items: List[T], subset: Optional[int] = None, seed: int = 0
) -> List[T]:
    """Draw some items: the first of a seeded permutation.

    So a smaller subset is part of every larger one with the same seed.

    Args:
        items (list): The items.
        subset (int, optional): How many. Defaults to None, all of them.
        seed (int): Seed of the permutation. Defaults to 0.

    Returns:
        list: Those drawn, in the order in which they were.

    Raises:
        TypeError: If ``subset`` is not an integer.
        ValueError: If there are not as many items.
    """
    if subset is None:
        return items
    check_integer('subset', subset, 1, len(items))
    chosen = np.random.default_rng(seed).permutation(len(items))[:subset]
    return [items[index] for index in np.sort(chosen)]
