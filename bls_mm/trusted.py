"""The public name of :mod:`bls_mm.checkpoint.trusted`."""

from .checkpoint.trusted import trust_mmengine_classes

__all__ = ['trust_mmengine_classes']
