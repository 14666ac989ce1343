"""bls_mm: skip the training samples an OpenMMLab model has already learned."""

from .cli import is_help
from .version import __version__

# `python -m bls_mm --help` needs none of these, and they take seconds.
if not is_help():
    from .hooks.bls_hook import BLSHook
    from .hooks.visualization_hook import BLSVisualizationHook
    from .pruners import (
        Importance,
        InfoBatch,
        Pruner,
        RandomPrune,
        Selection,
        SeTa,
    )
    from .registry import PRUNERS, SCORES
    from .samplers.bls_sampler import BLSSampler
    from .scores import EMAScore, MARTScore, Score

__all__ = [
    'BLSHook',
    'BLSSampler',
    'BLSVisualizationHook',
    'EMAScore',
    'Importance',
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
