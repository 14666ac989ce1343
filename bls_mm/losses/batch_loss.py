"""The loss of a batch, from what a training step returns."""

from typing import Any, Mapping, Optional, Sequence

import torch
from torch import Tensor


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
