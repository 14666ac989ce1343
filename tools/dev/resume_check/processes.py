"""Processes of a training: their environment, their children, their end."""

import os
import random
import signal
import socket
import sys
from pathlib import Path


def free_port():
    """A port that the system gives to nobody who has not asked for it.

    One that it has just given would do as well, were it not given to the next
    connection of any other process before the training binds it.
    """
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as free:
            try:
                free.bind(('127.0.0.1', port))
            except OSError:
                continue
            return port
    raise OSError('no free port between 20000 and 30000')


def environment():
    """For processes on the CPU that find this Python."""
    path = [str(Path(sys.executable).parent), os.environ['PATH']]
    root = Path(__file__).resolve().parents[3]
    return dict(
        os.environ,
        PATH=os.pathsep.join(path),
        # For what a config imports from here.
        PYTHONPATH=os.pathsep.join(
            [str(root), *filter(None, [os.environ.get('PYTHONPATH')])]
        ),
        PORT=str(free_port()),
        CUDA_VISIBLE_DEVICES='',
        OMP_NUM_THREADS='1',
    )


def descendants(pid):
    """All processes below one; torchrun gives each rank its own session."""
    children = {}
    for path in Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = path.read_text().rpartition(')')[2].split()
        except OSError:  # gone by now
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = children.get(pid, [])
    for child in found:  # grows while it is walked
        found.extend(children.get(child, []))
    return found


def is_alive(pid):
    """Whether a process runs; a dead one that nobody waits for does not."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return text.rpartition(')')[2].split()[0] not in 'ZX'


def kill_all(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
