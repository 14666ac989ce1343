"""Finding the checkpoint that a killed run goes on from."""

import codecs
import logging
import os
import re
import unicodedata
import zipfile
from pathlib import Path, PureWindowsPath
from typing import Iterator, List, Optional, Set, Union
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mmengine.logging import print_log


def find_checkpoint(work_dir: Union[str, Path]) -> Optional[str]:
    """Find the newest checkpoint of a run that can be read.

    MMEngine writes a checkpoint in place, and after it the file
    ``last_checkpoint`` with its path, and resumes from that path without
    checking it. If a kill, a full disk or a power cut damages either file,
    MMEngine cannot resume, even though older checkpoints exist. A folder that
    was copied from another machine names a place of that machine, in its
    spelling: the file of that name in the folder is meant.

    Args:
        work_dir (str or Path): The folder that has ``last_checkpoint``.

    Returns:
        str or None: The checkpoint that ``last_checkpoint`` names; if it is
        damaged or not there, the newest other one of that run, with a
        warning; None if the run has not saved one and starts from scratch.

    Raises:
        ValueError: If there is a ``last_checkpoint``, but no checkpoint that
            can be read.
    """
    marker = Path(work_dir, 'last_checkpoint')
    if not marker.is_file():
        return None
    name = _read_name(marker)
    if '://' in name:
        return name  # only files of this machine can be looked at
    named = Path(name).expanduser() if name else None
    if named is not None and is_complete(named):
        return str(named)
    problem = _describe(name, named)
    for path in _others(name, Path(work_dir)):
        if is_complete(path):
            print_log(
                f'{marker} {problem}. The run is resumed from {path}.',
                logger='current',
                level=logging.WARNING,
            )
            return str(path)
    raise ValueError(
        f'{marker} {problem}, and no other checkpoint can be '
        f'read. Remove {marker} to start from scratch.'
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


def _read_name(marker: Path) -> str:
    """The path in ``last_checkpoint``, as an editor or MMEngine wrote it."""
    content = marker.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = content.decode('utf-16', errors='replace')
    else:
        try:
            text = content.decode('utf-8-sig')
        except UnicodeDecodeError:  # Python on Windows writes in its code page
            text = content.decode('cp1252', errors='replace')
    name = text.strip().strip('\'"').strip('\0')
    parts = urlsplit(name)
    if parts.scheme != 'file':
        return name
    return url2pathname(parts.path)


def _describe(name: str, named: Optional[Path]) -> str:
    """Why the checkpoint that is named cannot be used."""
    if named is None:
        return 'is empty'
    state = 'damaged' if named.exists() else 'not there'
    return f'names {name!r}, which is {state}'


def _others(name: str, work_dir: Path) -> List[Path]:
    """Checkpoints that may be resumed from instead, the best first.

    First those that the same hook may have saved: their names differ in a
    number. Then those with a name that MMEngine gives; `best_*.pth` has no
    optimizer. A folder that was moved or copied names its old place: the same
    file here is best.
    """
    names = _file_names(name)
    alike = {_numberless(each) for each in names}
    found = [
        path
        for path in _files_near(name, work_dir)
        if _numberless(path.name) in alike
        or re.fullmatch('(epoch|iter)_#.pth', _numberless(path.name))
    ]
    found.sort(
        key=lambda path: (
            _normal(path.name) in names,
            _numberless(path.name) in alike,
            path.stat().st_mtime_ns,
        )
    )
    return found[::-1]


def _files_near(name: str, work_dir: Path) -> Iterator[Path]:
    """What lies in the work folder and in the one of a checkpoint."""
    folders = {os.path.realpath(work_dir): work_dir}
    if name:
        parent = Path(name).expanduser().parent
        folders.setdefault(os.path.realpath(parent), parent)
    for folder in folders.values():
        if folder.is_dir():
            yield from folder.iterdir()


def _file_names(name: str) -> Set[str]:
    """The last part of a path, of this system or of Windows."""
    return {
        _normal(path.name)
        for path in (Path(name), PureWindowsPath(name))
        if path.name
    }


def _normal(name: str) -> str:
    """One spelling of a letter with an accent, which macOS takes apart."""
    return unicodedata.normalize('NFC', name)


def _numberless(name: str) -> str:
    return re.sub(r'\d+', '#', _normal(name))
