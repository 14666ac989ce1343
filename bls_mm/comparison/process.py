"""A run as a process of its own, which is watched and never left behind."""

import os
import re
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Callable, Deque, Dict

RUN = 'bls_mm.comparison.run'
ATTACHED = '--attached'  # ends when its stdin is closed
# The log lines that say how a run is getting on.
PROGRESS = re.compile(r'\d\d/\d\d [\d:]{8} - .* - (Epoch\(|Iter\(|BLS)')


def run_process(
    settings: Path, log: Path, echo: Callable[[str], None]
) -> None:
    """Make a run and keep all that it prints.

    The run ends when this process does, however that happens.

    Args:
        settings (Path): File of settings.
        log (Path): File for the output.
        echo (Callable): Takes each line of progress.

    Raises:
        ChildProcessError: If the run fails. The message has the end of the
            output.
    """
    command = [sys.executable, '-u', '-m', RUN, str(settings), ATTACHED]
    tail: Deque[str] = deque(maxlen=30)
    with (
        open(log, 'w') as file,
        subprocess.Popen(
            command,
            env=_make_environment(),
            stdin=subprocess.PIPE,  # closed with this process
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
        ) as process,
    ):
        for line in process.stdout or ():
            tail.append(line)
            file.write(line)
            file.flush()
            if PROGRESS.match(line):
                echo(line.rstrip('\n'))
    if process.returncode:
        raise ChildProcessError(
            f'the run failed, see {log}. Its last lines:\n{"".join(tail)}'
        )


def _make_environment() -> Dict[str, str]:
    """The environment of a run, which leaves one core to data loading.

    Threads that wait for one another while something else has their core
    make a small model slow by a varying factor, and the times noise.
    """
    threads = max(1, (os.cpu_count() or 1) - 1)
    return {'OMP_NUM_THREADS': str(threads), **os.environ}
