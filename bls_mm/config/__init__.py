"""Pruned configs from unpruned ones."""

from .pruning import (
    add_hook,
    add_pruning,
    find_type,
    has_pruning,
    parse_score,
)
from .writer import write_config

__all__ = [
    'add_hook',
    'add_pruning',
    'find_type',
    'has_pruning',
    'parse_score',
    'write_config',
]
