"""Scaling the loss on its way to backward, leaving the logged loss alone."""

from functools import partial
from typing import Any, List, Optional, Union

from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from torch import Tensor

from .batch_loss import scalar

# They hand the arguments of `backward` on to that of the loss.
_PASS_ON = (OptimWrapper.backward, AmpOptimWrapper.backward)


class LossRescaler:
    """Multiply the loss that an optimizer wrapper gets by a batch weight.

    ``update_params`` of the instance is wrapped, which every kind of
    optimizer wrapper calls with the total loss. Where its ``backward`` is
    MMEngine's own, that begins with the weight in the place of 1: the gradient
    of the product without the product.

    ``update_params`` then raises a ``TypeError`` or a ``ValueError`` if the
    loss is not a tensor of one value.

    Args:
        optim_wrapper (OptimWrapper or OptimWrapperDict): The wrapper(s).

    Attributes:
        weight (Tensor or float, optional): Factor of the loss, shape (); None
            leaves the loss as it is.
        loss (Tensor, optional): Sum of the unscaled losses of the iteration,
            detached, shape (); None before the first.
        used (bool): Whether ``update_params`` has been called at all.
    """

    def __init__(self, optim_wrapper: Any) -> None:
        self.weight: Union[Tensor, float, None] = None
        self.loss: Optional[Tensor] = None
        self.used = False
        self._target: Any = None
        self._wrappers: List[Any] = []
        self._follow(optim_wrapper)

    def _follow(self, optim_wrapper: Any) -> None:
        self.close()
        self._target = optim_wrapper
        self._wrappers = [optim_wrapper]
        if isinstance(optim_wrapper, OptimWrapperDict):
            self._wrappers = list(optim_wrapper.values())
        for wrapper in self._wrappers:
            self._wrap(wrapper)

    def start(
        self, optim_wrapper: Any, weight: Union[Tensor, float, None]
    ) -> None:
        """Begin an iteration.

        Args:
            optim_wrapper (OptimWrapper or OptimWrapperDict): The wrapper(s)
                that the run uses now.
            weight (Tensor or float, optional): Factor of the loss, shape ();
                None leaves it as it is.
        """
        if optim_wrapper is not self._target:
            self._follow(optim_wrapper)
        self.weight = weight
        self.loss = None

    def close(self) -> None:
        """Unwrap ``update_params``."""
        for wrapper in self._wrappers:
            _unwrap(wrapper)
        self._wrappers = []

    def _wrap(self, wrapper: Any) -> None:
        _unwrap(wrapper)  # of a training that an exception has ended
        update_params, backward = wrapper.update_params, wrapper.backward
        passes_on = getattr(backward, '__func__', None) in _PASS_ON

        def update_scaled_params(
            loss: Tensor, *args: Any, **kwargs: Any
        ) -> None:
            self.used = True
            is_plain = isinstance(loss, Tensor) and not loss.ndim
            if is_plain:
                seen = loss.detach()
            else:
                seen = scalar(loss, 'The loss that goes to backward')
            self.loss = seen if self.loss is None else self.loss + seen
            weight = self.weight
            if weight is None:
                update_params(loss, *args, **kwargs)
            elif passes_on and is_plain and isinstance(weight, Tensor):
                wrapper.backward = partial(backward, gradient=weight)
                try:
                    update_params(loss, *args, **kwargs)
                finally:
                    del wrapper.backward
            else:
                update_params(loss * weight, *args, **kwargs)

        update_scaled_params.bls_wraps = True  # type: ignore[attr-defined]
        wrapper.update_params = update_scaled_params


def _unwrap(wrapper: Any) -> None:
    """Give an optimizer wrapper its own ``update_params`` back."""
    if hasattr(vars(wrapper).get('update_params'), 'bls_wraps'):
        del wrapper.update_params
