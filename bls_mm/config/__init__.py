"""Pruned configs from unpruned ones."""

from .pruning import (
    add_hook,
    add_pruning,
    find_type,
    has_pruning,
    parse_score,
)

__all__ = [
    'add_hook',
    'add_pruning',
    'find_type',
    'has_pruning',
    'parse_score',
]
