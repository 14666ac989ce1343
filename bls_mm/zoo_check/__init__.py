"""Train every config of a package in small, with and without pruning."""

from .report import format_results
from .run import VERDICTS, check_config
from .sweep import find_configs, sweep

__all__ = [
    'VERDICTS',
    'check_config',
    'find_configs',
    'format_results',
    'sweep',
]
