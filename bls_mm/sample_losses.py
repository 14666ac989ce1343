"""The losses of single samples, where a model computes them on its way."""

import copy
import inspect
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import torch
from torch import Tensor, nn

# Of predictions and losses: (B,), (B, C), (B, H, W) and (B, C, H, W).
_NDIMS = (1, 2, 3, 4)


class Call(NamedTuple):
    """A call of a loss module, with the values that it was given.

    Attributes:
        module (nn.Module): The module.
        args (list): Its arguments, tensors detached.
        kwargs (dict): Its keyword arguments, likewise.
    """

    module: nn.Module
    args: List[Any]
    kwargs: Dict[str, Any]

    @property
    def predictions(self) -> Any:
        """Its first value; None if there is none."""
        if self.args:
            return self.args[0]
        return next(iter(self.kwargs.values()), None)


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
        model (nn.Module): The model. Hooks are registered on its modules
            until :meth:`close`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._calls: List[Call] = []
        self._size: Optional[int] = None
        self._fits = self._tried = False
        self._handles = [
            module.register_forward_hook(self._listen, with_kwargs=True)
            for module in _loss_modules(model)
        ]

    def begin(self, size: int) -> None:
        """Listen for the losses of the next batch.

        Args:
            size (int): Samples in it.
        """
        # The loss of a batch of one needs no listening.
        self._size = size if self._handles and size > 1 else None
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
            fits = fits and _can_do_without_reduction(calls, size)
            if not fits:
                self.close()
        return calls if fits else None

    def close(self) -> None:
        """Stop listening."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _listen(
        self,
        module: nn.Module,
        args: Tuple[Any, ...],
        kwargs: Dict[str, Any],
        output: Any,
    ) -> None:
        if self._size is None:
            return
        # Spelled out: with calls of a function it takes a third longer.
        call = Call(
            module,
            [
                v.detach() if isinstance(v, Tensor) and v.requires_grad else v
                for v in args
            ],
            {name: _detached(v) for name, v in kwargs.items()},
        )
        if _has_rows(call.predictions, self._size):
            self._calls.append(call)
        else:
            self._fits = False


@torch.no_grad()
def losses_of_samples(
    batches: Sequence[List[Call]], losses: Tensor, size: int
) -> Tensor:
    """Tell the losses of the samples of some batches.

    What of a loss did not come through the modules is shared equally, so
    that the mean over a batch is always its loss.

    Args:
        batches (list): The calls that were made for each of K batches.
        losses (Tensor): Loss of each batch, shape (K,).
        size (int): Samples in a batch.

    Returns:
        Tensor: Float32, shape (K, size).
    """
    if len({len(calls) for calls in batches}) > 1:
        rows = torch.cat([_summed([calls], size) for calls in batches])
    else:
        rows = _summed(batches, size)
    return rows + (losses - rows.mean(1))[:, None]


def _summed(batches: Sequence[List[Call]], size: int) -> Tensor:
    """Losses of samples, summed over the calls, shape (K, size)."""
    # The first calls of all batches, the second ones, and so on.
    rows = [_rows(calls, size) for calls in zip(*batches)]
    return torch.stack(rows).sum(0) if len(rows) > 1 else rows[0]


def _rows(calls: Sequence[Call], size: int) -> Tensor:
    """Losses of samples from one call for each batch, shape (K, size)."""
    try:
        losses = _unreduced(_joined(calls, size)).float()
        return losses.view(len(calls), size, -1).mean(2)
    except (ValueError, RuntimeError, TypeError):
        if len(calls) == 1:
            raise
        return torch.cat([_rows([call], size) for call in calls])


def _joined(calls: Sequence[Call], size: int) -> Call:
    """One call with the rows of all.

    Raises:
        ValueError: If the calls are not alike, as :func:`_joined_values`.
        RuntimeError: Likewise.
        TypeError: Likewise.
    """
    first = calls[0]
    if len(calls) == 1:
        return first
    if any(
        call.module is not first.module
        or len(call.args) != len(first.args)
        or call.kwargs.keys() != first.kwargs.keys()
        for call in calls
    ):
        raise ValueError('Not the same call in all of the batches.')
    return Call(
        first.module,
        [_joined_values(v, size) for v in zip(*(c.args for c in calls))],
        {
            name: _joined_values([c.kwargs[name] for c in calls], size)
            for name in first.kwargs
        },
    )


def _joined_values(values: Sequence[Any], size: int) -> Any:
    """The rows of all batches, or the value that all of them have.

    Raises:
        ValueError: If it is neither.
        RuntimeError: If rows are not alike.
        TypeError: If some are no tensors.
    """
    first = values[0]
    if all(value is first for value in values):
        return first
    if isinstance(first, Tensor):
        rows = torch.cat(tuple(values))
        if len(first) == size and len(rows) == size * len(values):
            return rows
    elif all(type(v) is type(first) and v == first for v in values):
        return first
    raise ValueError('Not the same in all of the batches.')


def _detached(value: Any) -> Any:
    if isinstance(value, Tensor) and value.requires_grad:
        return value.detach()
    return value


def _has_rows(values: Any, size: int) -> bool:
    """Whether these are predictions or losses with one row or map a sample."""
    return (
        isinstance(values, Tensor)
        and values.ndim in _NDIMS
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


@torch.no_grad()
def _can_do_without_reduction(calls: Sequence[Call], size: int) -> bool:
    """Whether the modules of some calls return a loss for each sample."""
    try:
        return all(_has_rows(_unreduced(call), size) for call in calls)
    except Exception:  # not every module can do without
        return False


def _unreduced(call: Call) -> Any:
    """What a loss module returns without its reduction."""
    module, args, kwargs = call
    if _overrides(module):
        return module.forward(
            *args, **{**kwargs, 'reduction_override': 'none'}
        )
    twin = copy.copy(module)  # the module itself stays as it is
    twin.__dict__['reduction'] = 'none'
    return twin.forward(*args, **kwargs)
