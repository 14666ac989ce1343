"""Runs with and without pruning, side by side.

``study`` makes them, ``variants`` says which, ``run`` is one of them in a
``process`` of its own; ``summary`` has the numbers, ``report`` shows them and
``pool`` puts those of several studies together.
"""

from .pool import PooledRow, make_pool_table, pool, read_metric, write_runs
from .progress import make_console
from .study import Comparison, compare

__all__ = [
    'Comparison',
    'PooledRow',
    'compare',
    'make_console',
    'make_pool_table',
    'pool',
    'read_metric',
    'write_runs',
]
