"""What the losses of the samples of a pass weigh."""

from typing import Optional

import torch
from torch import Tensor

from .base import Selection

_CHUNK = 2**20


def dense_weights(
    selection: Optional[Selection], size: int
) -> Optional[Tensor]:
    """Weight of every sample.

    Args:
        selection (Selection, optional): What a pass visits; None is
            everything with weight 1.
        size (int): Number of samples N.

    Returns:
        Tensor or None: Float32, shape (N,), 0 for pruned samples; None if all
        are 1.

    Raises:
        ValueError: If a pruner gave a weight below 1.
    """
    if selection is None:
        return None
    if len(selection.indices) == size and bool((selection.weights == 1).all()):
        return None
    if not bool((selection.weights >= 1).all()):
        raise ValueError(
            'A pruner should weigh every selected sample with 1 or more, but '
            f'gave {float(selection.weights.min())}.'
        )
    chosen = selection.weights.float()
    weights = chosen.new_zeros(size)
    weights[selection.indices] = chosen
    return weights


def with_carried(weights: Tensor, ids: Tensor, carried: Tensor) -> Tensor:
    """Weight of every sample, with those carried over from the pass before.

    Args:
        weights (Tensor): Weights of this pass, shape (N,), 0 for pruned ones.
        ids (Tensor): The samples carried over, int64, shape (C,).
        carried (Tensor): What they weighed there, shape (C,). What this pass
            selects too has the weight of this pass.

    Returns:
        Tensor: Float32, shape (N,).
    """
    ids, carried = ids.to(weights.device), carried.to(weights.device)
    weights = weights.clone()
    weights[ids] = torch.where(weights[ids] > 0, weights[ids], carried)
    return weights


def mean_weight(weights: Tensor) -> Tensor:
    """Mean weight of the samples that a pass selects.

    Args:
        weights (Tensor): Weight of every sample, float32, shape (N,), 0 for
            pruned ones.

    Returns:
        Tensor: Float32, shape ().
    """
    return weights.sum() / (weights > 0).sum()


def mean_weights(weights: Tensor, ids: Tensor, batch_size: int) -> Tensor:
    """Mean weight of each batch of a pass.

    Args:
        weights (Tensor): Weight of every sample, float32, shape (N,).
        ids (Tensor): Samples of the pass in order, int32 or int64, (M,).
        batch_size (int): Samples in a batch; the last may have fewer.

    Returns:
        Tensor: Float32, shape (ceil(M / batch_size),).
    """
    means = []
    for part in ids.split(max(1, _CHUNK // batch_size) * batch_size):
        found = weights[part.long()]
        full = len(found) // batch_size * batch_size
        means.append(found[:full].view(-1, batch_size).mean(1))
        if full < len(found):
            means.append(found[full:].mean()[None])
    return torch.cat(means) if means else weights[:0]
