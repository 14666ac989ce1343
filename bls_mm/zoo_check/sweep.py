"""Check many configs, in processes that a crash or a hang may cost."""

import fnmatch
import multiprocessing
import os
import sys
import tempfile
import time
from collections import deque
from importlib.util import find_spec
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, List, Optional, Union

import torch

from bls_mm.checks import check_integer

from .run import check_config


def find_configs(
    package: str, patterns: Iterable[str] = ('*',)
) -> Dict[str, str]:
    """Config files that a package brings along, without the base files.

    Args:
        package (str): Its import name.
        patterns (Iterable[str]): Zoo paths to look for, such as
            ``mmdet::yolox/*``. Defaults to all.

    Returns:
        dict[str, str]: File -> zoo path.

    Raises:
        FileNotFoundError: If the package is not installed.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise FileNotFoundError(f'The package `{package}` is not installed.')
    root = Path(found.submodule_search_locations[0], '.mim', 'configs')
    files = {}
    for file in sorted(root.rglob('*.py')):
        name = f'{package}::{file.relative_to(root).as_posix()}'
        if '_base_' not in file.parts and any(
            fnmatch.fnmatch(name, pattern) for pattern in patterns
        ):
            files[str(file)] = name
    return files


def sweep(
    paths: Iterable[Union[str, Path]], workers: int = 1, timeout: float = 300
) -> Iterator[Dict[str, Any]]:
    """Check configs in worker processes.

    Args:
        paths (Iterable[str or Path]): Their files.
        workers (int): Number of processes, at least 1. Defaults to 1.
        timeout (float): Seconds that a config may take. Defaults to 300.

    Yields:
        dict: What :func:`check_config` returns, with ``path`` and
        ``seconds``, in the order in which they end.

    Raises:
        ValueError: If there is no worker.
    """
    check_integer('workers', workers, 1, 1024)
    todo = deque(paths)
    idle: List[_Worker] = []
    busy: List[_Worker] = []
    with tempfile.TemporaryDirectory() as work_dir:
        try:
            while todo or busy:
                while todo and len(busy) < workers:
                    busy.append(idle.pop() if idle else _Worker(work_dir))
                    busy[-1].give(todo.popleft(), timeout)
                wait([worker.pipe for worker in busy], timeout=1)
                for worker in [*busy]:
                    result = worker.result()
                    if result is None:
                        continue
                    busy.remove(worker)
                    if worker.alive:
                        idle.append(worker)
                    yield result
        finally:
            for worker in idle + busy:
                worker.stop()


class _Worker:
    """A process that checks one config after the other."""

    def __init__(self, work_dir: str) -> None:
        context = multiprocessing.get_context('spawn')
        self.pipe, other_end = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other_end, work_dir), daemon=True
        )
        self._process.start()
        other_end.close()

    def give(self, path: Union[str, Path], timeout: float) -> None:
        self._path = path
        self._start = time.monotonic()
        self._timeout = timeout
        self.pipe.send(path)

    def result(self) -> Optional[Dict[str, Any]]:
        """The result, None as long as there is none."""
        result: Optional[Dict[str, Any]] = None
        seconds = time.monotonic() - self._start
        if self.pipe.poll():
            try:
                result = self.pipe.recv()
            except (EOFError, ConnectionError):
                self.stop()
                result = dict(verdict='FAILED', reason='the process died')
        elif seconds > self._timeout:
            self.stop()
            reason = f'no end after {self._timeout:g} s'
            result = dict(verdict='FAILED', reason=reason)
        if result is not None:
            result.update(path=str(self._path), seconds=round(seconds, 2))
        return result

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def _serve(pipe: Any, work_dir: str) -> None:
    """Check the configs that come through a pipe."""
    torch.set_num_threads(1)
    # Progress bars and warnings; some hold on to the stream itself.
    with open(os.devnull, 'w') as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
        os.dup2(nowhere.fileno(), sys.stderr.fileno())
    while True:
        pipe.send(check_config(pipe.recv(), work_dir))
