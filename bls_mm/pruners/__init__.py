"""Pruners: which samples the next pass visits. One rule a file."""

from .base import Pruner, Selection
from .infobatch import InfoBatch
from .random import RandomPrune
from .seta import SeTa

__all__ = ['Pruner', 'Selection', 'InfoBatch', 'RandomPrune', 'SeTa']
