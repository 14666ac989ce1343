"""What a checkpoint holds of a pruned run."""

from .files import find_checkpoint, is_complete
from .trusted import load_checkpoint

__all__ = ['find_checkpoint', 'is_complete', 'load_checkpoint']
