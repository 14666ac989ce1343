"""What becomes of a loss outside of the loss modules."""

import torch
from torch import Tensor
from torch.nn.functional import threshold

# Batches that it takes to tell a factor from a sum.
_ENOUGH = 8
# Share of the variance of batch losses that a factor has to explain.
_EXPLAINED = 0.9
# A factor as near to 1 as that is 1: then nothing was done outside.
_NEAR = 1e-3
# What means and losses of batches differ by where they are the same.
_ROUNDING = 3e-7


def add_outside(rows: Tensor, losses: Tensor) -> Tensor:
    r"""Make the losses of samples add up to those of their batches.

    A head may multiply what a module returns, and a model may add losses that
    no module has told. Sums are shared equally, :math:`l_i + (L - \bar l)`. If
    the batch losses lie on a line over the means of their samples, its slope
    is the factor: :math:`a\,l_i + (L - a\,\bar l)`. A loss below the mean is
    a factor in any case, :math:`l_i L / \bar l`: as a sum it would make losses
    of samples negative.

    Args:
        rows (Tensor): What the modules have told of each sample, float32,
            shape (K, B).
        losses (Tensor): Loss of each batch, shape (K,).

    Returns:
        Tensor: Shape (K, B); the mean over each batch is its loss.
    """
    losses = losses[:, None]
    if len(rows) >= _ENOUGH:
        rows = rows * _slope(rows.mean(1, True), losses)
    means = rows.mean(1, True)
    # 1, or by how many times the mean is above the loss. 0 / 0 is 1.
    above = (means / losses).nan_to_num(1.0)
    above = threshold(above, 1 + _ROUNDING, 1.0)
    rest = torch.addcdiv(losses, means, above, value=-1)
    return torch.addcdiv(rest, rows, above)


def _slope(means: Tensor, losses: Tensor) -> Tensor:
    """Slope of batch losses over means, shape (); 1 if they are no line.

    Args:
        means (Tensor): Shape (K, 1).
        losses (Tensor): Shape (K, 1).
    """
    both = torch.cat([means, losses.to(means.dtype)], 1)
    center = both.mean(0)
    both = both - center
    xx, xy, _, yy = (both.T @ both).flatten().unbind()
    slope = xy / xx
    is_line = (
        (xy * slope > _EXPLAINED * yy)
        & (slope > _NEAR)
        & (xx > 1e-6 * len(both) * center[0].square())
        & ((slope - 1).abs() > _NEAR)
    )
    return slope.where(is_line, 1.0)
