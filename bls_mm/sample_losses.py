"""The losses of single samples, where a model computes them on its way."""

import copy
import functools
import inspect
from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn


class SampleLosses:
    """Listen to the loss modules of a model for one loss per sample.

    Classifiers compute a loss for each sample of a batch and return the mean.
    A module qualifies if it has a ``reduction``, as those of torch and
    OpenMMLab have, no state that a second call could change, and is called
    with one row of predictions per sample. It is then asked once more, for
    the same arguments and without the reduction, which takes a few
    operations on a tensor of shape (B, classes) and no forward pass.

    Detectors and segmenters have other shapes, and no losses come from here.
    The first batch decides that for the run.

    Args:
        model (nn.Module): The model. Hooks are registered on its modules
            until :meth:`close`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._rows: List[Tensor] = []
        self._size: Optional[int] = None
        self._fits = self._tried = False
        self._handles = [
            module.register_forward_hook(
                functools.partial(self._listen, _overrides(module)),
                with_kwargs=True,
            )
            for module in _loss_modules(model)
        ]

    def begin(self, size: int) -> None:
        """Listen for the losses of the next batch.

        Args:
            size (int): Samples in it.
        """
        self._rows.clear()
        # The loss of a batch of one needs no listening.
        self._size = size if self._handles and size > 1 else None
        self._fits = True

    def end(self, loss: Tensor) -> Tensor:
        """Tell the losses of the samples of the batch.

        What of the loss did not come through the modules is shared equally,
        so that the mean of the result is always ``loss``.

        Args:
            loss (Tensor): Loss of the batch, shape ().

        Returns:
            Tensor: Shape (B,), or ``loss`` where they are not known.
        """
        if self._size is None:
            return loss
        self._size = None
        fits = self._fits and bool(self._rows)
        if not self._tried:
            self._tried = True
            if not fits:
                self.close()
        if not fits:
            return loss
        rows = self._rows[0]
        for more in self._rows[1:]:
            rows = rows + more
        return rows + (loss - rows.mean())

    def close(self) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _listen(
        self,
        overrides: bool,
        module: nn.Module,
        args: Tuple[Any, ...],
        kwargs: Dict[str, Any],
        output: Any,
    ) -> None:
        if self._size is None or not self._fits:
            return
        self._fits = False
        inputs = [*args, *kwargs.values()]
        if not inputs or not _has_rows(inputs[0], self._size):
            return
        try:
            with torch.no_grad():
                losses = _unreduced(module, overrides, args, kwargs)
        except Exception:
            if self._tried:
                raise
            return  # not every module can do without its reduction
        if _has_rows(losses, self._size):
            self._fits = True
            losses = losses.float()
            self._rows.append(losses.mean(1) if losses.ndim > 1 else losses)


def _has_rows(values: Any, size: int) -> bool:
    """Whether these are predictions or losses with one row a sample."""
    return (
        isinstance(values, Tensor)
        and values.ndim in (1, 2)
        and len(values) == size
    )


def _loss_modules(model: nn.Module) -> List[nn.Module]:
    """Outermost modules that reduce a loss and keep no state."""
    names: List[str] = []
    found = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f'{outer}.') for outer in names)
        stateless = not [*module.parameters(), *module.buffers()]
        if not inside and stateless and _reduces(module):
            names.append(name)
            found.append(module)
    return found


def _reduces(module: nn.Module) -> bool:
    return isinstance(getattr(module, 'reduction', None), str) or _overrides(
        module
    )


def _overrides(module: nn.Module) -> bool:
    """Whether a module takes the argument that OpenMMLab's losses take."""
    return 'reduction_override' in inspect.signature(module.forward).parameters


def _unreduced(
    module: nn.Module,
    overrides: bool,
    args: Tuple[Any, ...],
    kwargs: Dict[str, Any],
) -> Any:
    """What a loss module returns without its reduction."""
    if overrides:
        kwargs = {**kwargs, 'reduction_override': 'none'}
        return module.forward(*args, **kwargs)
    twin = copy.copy(module)  # the module itself stays as it is
    twin.__dict__['reduction'] = 'none'
    return twin.forward(*args, **kwargs)
