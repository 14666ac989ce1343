"""Results of training runs, kept in files: no finished run is made twice.

A run has a folder with ``settings.json``, written before it starts, and
``result.json``, written when it has ended. A folder without the second is
that of a run that was interrupted, which starts again.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from mmengine.config import Config

SETTINGS, RESULT = 'settings.json', 'result.json'


def write_json(file: Path, content: Any) -> None:
    """Write readable JSON: all of it or nothing, whenever the power fails.

    Args:
        file (Path): The file; its folder is made if it is not there.
        content: Numbers, strings, None, lists and dicts of them.

    Raises:
        TypeError: If there is something else in it.
    """
    text = json.dumps(content, indent=2) + '\n'
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix('.part')
    with open(part, 'w') as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def hash_config(cfg: Config) -> str:
    """A hash of the content of a config."""
    return hashlib.sha256(cfg.pretty_text.encode()).hexdigest()


def start_run(folder: Path, settings: Dict[str, Any]) -> Path:
    """Make the folder of a run, without what an earlier one left there.

    Args:
        folder (Path): The folder. What is in it is only removed if it has the
            settings of a run.
        settings (dict): All that the result depends on, as for JSON.

    Returns:
        Path: The file of the settings.
    """
    file = folder / SETTINGS
    if file.exists():
        shutil.rmtree(folder)
    write_json(file, settings)
    return file


def read_result(
    folder: Path, settings: Dict[str, Any]
) -> Optional[Dict[str, Any]]:
    """Read the result of a run, if it has ended.

    Args:
        folder (Path): The folder of the run.
        settings (dict): All that the result depends on, as for JSON.

    Returns:
        dict or None: The result, with the settings under ``'settings'``; None
        if there is none.

    Raises:
        ValueError: If a run with other settings has ended there.
    """
    try:
        result = json.loads((folder / RESULT).read_text())
        before = result['settings']
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return None
    changes = _list_changes(before, json.loads(json.dumps(settings)))
    if changes:
        raise ValueError(
            f'{folder} has the result of a run with other settings: '
            f'{", ".join(changes)}. Choose another `work_dir`, or make its '
            'runs anew with `resume=False` (`--no-resume`).'
        )
    return result


def _list_changes(before: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    changes: List[str] = []
    for key in dict.fromkeys([*before, *now]):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if key == 'config_hash':  # says nothing to a reader
            changes.append('the content of the config has changed')
        else:
            changes.append(f'`{key}` was {old!r} and is {new!r}')
    return changes
