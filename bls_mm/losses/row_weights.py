"""Weights of single samples, on the way back from a loss to a model."""

from functools import partial
from typing import Any, Dict, Optional, Sequence, Tuple

from torch import Tensor

from .calls import has_rows
from .values import map_tensors


def weigh_rows(
    args: Sequence[Any], kwargs: Dict[str, Any], weights: Optional[Tensor]
) -> Tuple[Sequence[Any], Dict[str, Any]]:
    """Multiply the gradients of predictions, one weight a row.

    If the loss is a mean or a sum over samples, the gradient that comes back
    to the model is then that of the weighted mean or sum. The loss itself
    stays as it is.

    Args:
        args (sequence): Arguments of a loss module, tensors or tuples or lists
            of them among others.
        kwargs (dict): Its keyword arguments.
        weights (Tensor, optional): Weight of each sample, shape (B,); None
            leaves everything as it is.

    Returns:
        tuple[sequence, dict]: The arguments to call it with. Predictions are
        all tensors with B rows and a gradient; others are those that were
        given.
    """
    if weights is None:
        return args, kwargs
    weigh = partial(_weigh, weights)
    return (
        [map_tensors(weigh, value) for value in args],
        {name: map_tensors(weigh, value) for name, value in kwargs.items()},
    )


def _weigh(weights: Tensor, predictions: Tensor) -> Tensor:
    if not has_rows(predictions, len(weights)):
        return predictions
    if not predictions.requires_grad:
        return predictions
    of_rows = weights.view(-1, *[1] * (predictions.ndim - 1))
    # A view, since others may compute something else of the same predictions.
    seen = predictions.view_as(predictions)
    seen.register_hook(lambda grad: grad * of_rows.to(grad.dtype))
    return seen
