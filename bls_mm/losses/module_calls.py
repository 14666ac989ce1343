"""The losses of single samples, where a model computes them on its way."""

from typing import Any, Dict, List, Optional, Sequence

from torch import Tensor, nn

from .unreduced import Call, can_do_without_reduction, has_rows, takes_override


class SampleLosses:
    """Listen to the loss modules of a model for one loss per sample.

    Classifiers and segmenters compute a loss for each sample or pixel of a
    batch and return the mean. A module qualifies if it has a ``reduction``,
    as those of torch and OpenMMLab have, no state that a second call could
    change, and is called with predictions of shape (B,), (B, classes) or (B,
    classes, H, W). Its calls are written down, and made once more without the
    reduction by :func:`losses_of_samples`, for many small batches at a time.
    That takes a few operations on the predictions and no forward pass.

    Detectors call their losses with one row per anchor or box, and no losses
    come from here. The first batch decides that for the run.

    Args:
        model (nn.Module): The model. The ``forward`` of its loss modules is
            wrapped until :meth:`close`; a forward hook would cost twice as
            much.
    """

    def __init__(self, model: nn.Module) -> None:
        self._calls: List[Call] = []
        self._size: Optional[int] = None
        self._fits = self._tried = False
        self._modules = _loss_modules(model)
        for module in self._modules:
            self._wrap(module)

    def begin(self, size: int) -> None:
        """Listen for the losses of the next batch.

        Args:
            size (int): Samples in it.
        """
        # The loss of a batch of one needs no listening.
        self._size = size if self._modules and size > 1 else None
        self._fits = True

    def take(self) -> Optional[List[Call]]:
        """The calls that were made for the batch; None if they do not fit."""
        if self._size is None:
            return None
        size, self._size = self._size, None
        calls, self._calls = self._calls, []
        fits = self._fits and bool(calls)
        if not self._tried:
            self._tried = True
            fits = fits and can_do_without_reduction(calls, size)
            if not fits:
                self.close()
        return calls if fits else None

    def close(self) -> None:
        """Stop listening."""
        for module in self._modules:
            del module.forward
        self._modules = []

    def _wrap(self, module: nn.Module) -> None:
        forward = module.forward

        def listened_forward(*args: Any, **kwargs: Any) -> Any:
            output = forward(*args, **kwargs)
            if self._size is not None:
                self._listen(module, args, kwargs)
            return output

        module.forward = listened_forward

    def _listen(
        self, module: nn.Module, args: Sequence[Any], kwargs: Dict[str, Any]
    ) -> None:
        call = Call(
            module,
            [_detached(v) for v in args],
            {name: _detached(v) for name, v in kwargs.items()},
        )
        if has_rows(call.predictions, self._size):
            self._calls.append(call)
        else:
            self._fits = False


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor) and value.requires_grad:
        return value.detach()
    return value


def _loss_modules(model: nn.Module) -> List[nn.Module]:
    """Outermost modules that reduce a loss and keep no state."""
    names: List[str] = []
    found = []
    for name, module in model.named_modules():
        inside = any(name.startswith(f'{outer}.') for outer in names)
        stateless = not [*module.parameters(), *module.buffers()]
        replaced = 'forward' in vars(module)  # by whom, and what for?
        if not (inside or replaced) and stateless and _reduces(module):
            names.append(name)
            found.append(module)
    return found


def _reduces(module: nn.Module) -> bool:
    return isinstance(
        getattr(module, 'reduction', None), str
    ) or takes_override(module)
