"""Scores: what a batch loss says about its samples. One rule a file."""

from .base import Score
from .ema import EMAScore
from .mart import MARTScore

__all__ = ['Score', 'EMAScore', 'MARTScore']
