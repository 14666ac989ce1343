"""Finding the checkpoint that a killed run goes on from."""

import logging
import re
import zipfile
from pathlib import Path
from typing import List, Optional, Union

from mmengine.logging import print_log


def find_checkpoint(work_dir: Union[str, Path]) -> Optional[str]:
    """Find the newest checkpoint of a run that can be read.

    MMEngine writes a checkpoint in place, and after it the file
    ``last_checkpoint`` with its path, and resumes from that path whatever is
    there. A kill while either is rewritten, a full disk or a power cut leaves
    nothing to resume from, although older checkpoints are there.

    Args:
        work_dir (str or Path): The folder that has ``last_checkpoint``.

    Returns:
        str or None: The checkpoint that ``last_checkpoint`` names; if it is
        damaged or gone, the newest other one of that run, with a warning; None
        if the run has not saved any, so that it starts anew.

    Raises:
        ValueError: If there is a ``last_checkpoint``, but no checkpoint that
            can be read.
    """
    marker = Path(work_dir, 'last_checkpoint')
    if not marker.is_file():
        return None
    name = marker.read_text().strip()
    # Only files of this machine can be looked at.
    if '://' in name or (name and is_complete(Path(name))):
        return name
    for path in _others(name, Path(work_dir)):
        if is_complete(path):
            print_log(
                f'{marker} names {name!r}, which is damaged or gone. The run '
                f'is resumed from {path}.',
                logger='current',
                level=logging.WARNING,
            )
            return str(path)
    raise ValueError(
        f'{marker} names {name!r}, which is damaged or gone, and there is no '
        f'other checkpoint that can be read. Remove {marker} to start anew.'
    )


def is_complete(path: Path) -> bool:
    """Whether a checkpoint is there as it was written.

    A file is read to the end, which takes about as long as loading it. Of a
    folder (DeepSpeed, FSDP) every file that is there is checked; a missing
    one is not noticed.

    Args:
        path (Path): A file or folder.
    """
    if path.is_dir():
        return all(map(is_complete, path.rglob('*.pt*')))
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except Exception:  # damage can raise anything
        return False


def _others(name: str, work_dir: Path) -> List[Path]:
    """Checkpoints that the same hook may have saved, the best first.

    Their names differ in a number; `best_*.pth` has no optimizer. A folder
    that was moved or copied names its old place: the same file here is best.
    """
    pattern, folders = '(epoch|iter)_#.pth', {work_dir}
    if name:
        pattern = re.escape(_numberless(Path(name).name))
        folders.add(Path(name).parent)
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if re.fullmatch(pattern, _numberless(path.name))
    ]
    found.sort(key=lambda p: (p.name == Path(name).name, p.stat().st_mtime_ns))
    return found[::-1]


def _numberless(name: str) -> str:
    return re.sub(r'\d+', '#', name)
