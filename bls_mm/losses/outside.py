"""What becomes of a loss outside of the loss modules."""

import torch
from torch import Tensor

# Batches that it takes to tell a factor from a sum.
_ENOUGH = 8
# Share of the variance of batch losses that a factor has to explain.
_EXPLAINED = 0.9
# A factor as near to 1 as that is 1: then nothing was done outside.
_NEAR = 1e-3


def add_outside(rows: Tensor, losses: Tensor) -> Tensor:
    r"""Make the losses of samples add up to those of their batches.

    A head may multiply what a module returns, and a model may add losses that
    no module has told. Sums are shared equally, :math:`l_i + (L - \bar l)`. If
    the batch losses lie on a line over the means of their samples, its slope
    is the factor: :math:`a\,l_i + (L - a\,\bar l)`. Where there are too few
    batches to see a line, a batch is multiplied rather than that losses of its
    samples become negative.

    Args:
        rows (Tensor): What the modules have told of each sample, float32,
            shape (K, B).
        losses (Tensor): Loss of each batch, shape (K,).

    Returns:
        Tensor: Shape (K, B); the mean over each batch is its loss.
    """
    means, lowest = rows.mean(1), rows.amin(1)
    factor = _slope(means, losses) if len(rows) >= _ENOUGH else 1.0
    rest = losses - means * factor
    positive = (lowest >= 0) & (losses > 0)
    negative = positive & (lowest * factor + rest < -0.01 * losses)
    factor = torch.where(negative, losses / means, factor)
    rest = losses - means * factor
    result = rows * factor[:, None] + rest[:, None]
    return torch.where(positive[:, None], result.clamp(min=0), result)


def _slope(means: Tensor, losses: Tensor) -> Tensor:
    """Slope of batch losses over means, shape (); 1 if they are no line."""
    x, y = means - means.mean(), losses - losses.mean()
    xx, xy, yy = (x * x).mean(), (x * y).mean(), (y * y).mean()
    slope = xy / xx
    is_line = (
        (xy * slope > _EXPLAINED * yy)
        & (slope > 0)
        & (xx > 1e-6 * means.mean().square())
        & ((slope - 1).abs() > _NEAR)
    )
    return slope.where(is_line, 1.0)
