"""bls_mm: train OpenMMLab models on the samples that still teach them."""

from .hook import BLSHook
from .pruners import InfoBatch, Pruner, RandomPrune, Selection, SeTa
from .registry import PRUNERS, SCORES
from .sampler import BLSSampler
from .scores import EMAScore, MARTScore, Score
from .version import __version__
from .visualization import BLSVisualizationHook

__all__ = [
    'BLSHook',
    'BLSSampler',
    'BLSVisualizationHook',
    'EMAScore',
    'InfoBatch',
    'MARTScore',
    'PRUNERS',
    'Pruner',
    'RandomPrune',
    'SCORES',
    'Score',
    'SeTa',
    'Selection',
    '__version__',
]
