"""A copy of a loss module, which returns its losses without a reduction."""

from typing import Any, Dict, List, Optional

from torch import Tensor, nn
from torch.func import vmap

from .copies import copy_state
from .effects import Snapshot
from .listened import original_class
from .loss_modules import has_reduction, takes_override
from .values import list_tensors


class Twin:
    """A copy of a loss module, to be called in its stead.

    The copy is made at the first call, and again when the module holds other
    values than it held then. A module that has no reduction to be left out,
    as many of mmaction and mmpose, is called for all samples by themselves,
    with ``torch.func.vmap``.

    Args:
        module (nn.Module): The module.

    Attributes:
        module (nn.Module): The module.
        by_sample (bool): Whether it has no reduction to be left out.
        time_first (bool): Whether its predictions are of shape (T, B, C),
            those of a text, rather than with samples first.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._forward: Any = original_class(module).forward
        self._override = takes_override(module)
        self.by_sample = not self._override and not has_reduction(module)
        self.time_first = isinstance(module, nn.CTCLoss)
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
        if self.by_sample:
            return self._of_each(args, kwargs)
        if self._override:
            kwargs = {**kwargs, 'reduction_override': 'none'}
        return self._forward(self._copy, *args, **kwargs)

    def _of_each(self, args: List[Any], kwargs: Dict[str, Any]) -> Any:
        """The loss of each sample as a batch of its own."""
        size = len(list_tensors([*args, *kwargs.values()])[0])

        def dim(value: Any) -> Any:
            if isinstance(value, (list, tuple)):
                return type(value)(map(dim, value))
            is_row = isinstance(value, Tensor) and value.shape[:1] == (size,)
            return 0 if is_row else None

        dims = [dim(value) for value in args]
        named = {name: dim(value) for name, value in kwargs.items()}

        def loss(args: List[Any], kwargs: Dict[str, Any]) -> Any:
            one = [_as_batch(v, d) for v, d in zip(args, dims)]
            with_names = {k: _as_batch(v, named[k]) for k, v in kwargs.items()}
            return self._forward(self._copy, *one, **with_names)

        return vmap(loss, in_dims=(dims, named))(args, kwargs)

    def is_changed(self) -> bool:
        """Whether the last call has changed the copy; it is dropped then."""
        if self._of_copy is None or not self._of_copy.is_changed():
            return False
        self._copy = self._of_module = self._of_copy = None
        return True

    def _make(self) -> None:
        self._copy = copy_state(self.module)
        if not self._override and not self.by_sample:
            vars(self._copy)['reduction'] = 'none'
        self._of_module = Snapshot(self.module)
        self._of_copy = Snapshot(self._copy)


def _as_batch(value: Any, dim: Any) -> Any:
    """A batch of the one sample that is left of a value."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_as_batch, value, dim))
    return value if dim is None else value[None]
