"""Pruners: which samples the next pass visits. One rule a file."""

from .base import Pruner, Selection, selection_generator
from .importance import Importance
from .infobatch import InfoBatch
from .random_prune import RandomPrune
from .seta import SeTa

__all__ = [
    'Pruner',
    'Selection',
    'Importance',
    'InfoBatch',
    'RandomPrune',
    'SeTa',
    'selection_generator',
]
