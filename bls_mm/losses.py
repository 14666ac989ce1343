"""The loss of a batch, from what a training step returns."""

from typing import Any, List, Mapping, Optional, Sequence

import torch
from torch import Tensor

_LOSSES_AT_A_TIME = 64


def batch_loss(
    keys: Sequence[str],
    total: Optional[Tensor],
    outputs: Mapping[str, Any],
) -> Tensor:
    """The loss to score a batch by.

    Args:
        keys (list[str]): Losses to sum; ``'loss'`` is the total.
        total (Tensor, optional): Loss that went to backward, shape (), if it
            is known. A model's own key ``'loss'`` would hide it.
        outputs (dict): What the training step returned: losses by key.

    Returns:
        Tensor: Detached, shape ().

    Raises:
        ValueError: If a key is not there, or its loss not a single value.
    """
    if total is not None and list(keys) == ['loss']:
        return total
    known = dict(outputs)
    if total is not None:
        known['loss'] = total
    missing = [key for key in keys if key not in known]
    if missing:
        raise ValueError(
            f'`BLSHook.loss_key` names {missing}, but the loss dict has the '
            f'keys {sorted(known)}.'
        )
    losses = [
        scalar(known[key], f'`BLSHook.loss_key`: the loss {key!r}')
        for key in keys
    ]
    return losses[0] if len(losses) == 1 else torch.stack(losses).sum()


def scalar(loss: Any, what: str) -> Tensor:
    """A loss as a detached tensor of shape ().

    Args:
        loss (Tensor): A tensor of one value, of any shape.
        what (str): What errors should name.

    Raises:
        TypeError: If it is not a tensor, as where the loss dict of a model
            has no entry with ``loss`` in its name.
        ValueError: If it has more values than one, or none.
    """
    if not isinstance(loss, Tensor):
        raise TypeError(f'{what} should be a tensor, but got {loss!r}.')
    if loss.numel() != 1:
        raise ValueError(
            f'{what} should be a single value, but got a tensor of shape '
            f'{tuple(loss.shape)}.'
        )
    loss = loss.detach()
    return loss if not loss.ndim else loss.reshape(())


class NonFiniteCount:
    """Count losses that are not finite.

    Many at a time, as one costs as much as half of a score update.

    Args:
        device (torch.device): Where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._count = torch.zeros((), dtype=torch.int64, device=device)
        self._losses: List[Tensor] = []
        self._waiting = 0

    def add(self, losses: Tensor) -> None:
        """Note losses, detached, shape (K,). They are kept for a while."""
        self._losses.append(losses)
        self._waiting += len(losses)
        if self._waiting >= _LOSSES_AT_A_TIME:
            self._flush()

    def take(self) -> Tensor:
        """The count since the last call, int64, shape ()."""
        if self._losses:
            self._flush()
        count = self._count.clone()
        self._count.zero_()
        return count

    def _flush(self) -> None:
        self._count += (~torch.cat(self._losses).isfinite()).sum()
        self._losses.clear()
        self._waiting = 0
