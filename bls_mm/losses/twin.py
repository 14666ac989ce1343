"""A copy of a loss module, which returns its losses without a reduction."""

import inspect
from typing import Any, Dict, List, Optional

from torch import nn

from .effects import Snapshot, copy_state
from .listened import original_class


class Twin:
    """A copy of a loss module, to be called in its stead.

    The copy is made at the first call, and again when the module holds other
    values than it held then.

    Args:
        module (nn.Module): The module.

    Attributes:
        module (nn.Module): The module.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._forward: Any = original_class(module).forward
        self._override = takes_override(module)
        self._copy: Any = None
        self._of_module: Optional[Snapshot] = None
        self._of_copy: Optional[Snapshot] = None

    def __call__(self, args: List[Any], kwargs: Dict[str, Any]) -> Any:
        """What the module returns without its reduction.

        Args:
            args (list): Arguments of its ``forward``.
            kwargs (dict): Keyword arguments.

        Raises:
            UnknownStateError: If the module cannot be copied any more.
        """
        if self._of_module is None or self._of_module.is_changed():
            self._make()
        if self._override:
            kwargs = {**kwargs, 'reduction_override': 'none'}
        return self._forward(self._copy, *args, **kwargs)

    def is_changed(self) -> bool:
        """Whether the last call has changed the copy; it is dropped then."""
        if self._of_copy is None or not self._of_copy.is_changed():
            return False
        self._copy = self._of_module = self._of_copy = None
        return True

    def _make(self) -> None:
        self._copy = copy_state(self.module)
        if not self._override:
            vars(self._copy)['reduction'] = 'none'
        self._of_module = Snapshot(self.module)
        self._of_copy = Snapshot(self._copy)


def takes_override(module: nn.Module) -> bool:
    """Whether a module takes the argument that OpenMMLab's losses take."""
    forward = inspect.signature(type(module).forward)
    return 'reduction_override' in forward.parameters
