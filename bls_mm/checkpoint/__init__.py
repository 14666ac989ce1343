"""What a checkpoint holds of a pruned run."""

from .files import find_checkpoint, is_complete

__all__ = ['find_checkpoint', 'is_complete']
