"""A score that asks which samples a batch loss is a surprise for."""

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import SCORES

from .base import Score

_FLOOR = 1e-8


@SCORES.register_module()
class MARTScore(Score):
    """Estimate of a sample's own loss, by multiplicative reconstruction.

    A batch loss is the mean of its samples' losses, so the batches of a
    training run are linear measurements of them. The scores predict the next
    batch loss; what it differs from the prediction corrects them.

    For losses that are not negative. A loss of 0 or less is taken for a
    very small one.

    Args:
        step (float): Share of a surprise that is taken over, in (0, 1].
            Defaults to 0.5.

    Raises:
        TypeError: If ``step`` is not a number.
        ValueError: If ``step`` is out of range.

    References:
        Ours, the multiplicative algebraic reconstruction technique (MART)
        of Gordon, Bender and Herman, J. Theor. Biol. 29, 1970, with batches
        in the place of rays; see docs/method.md.
    """

    takes_several = True

    def __init__(self, step: float = 0.5) -> None:
        check_range('step', step, 0, 1, '(0, 1]')
        self.step = step

    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        """Update as in :meth:`Score.update`, by :func:`mart_update`."""
        mart_update(scores, indices, loss, self.step)


def mart_update(
    scores: Tensor, indices: Tensor, loss: Tensor, step: float
) -> None:
    r"""Scale scores until they explain a batch loss better, in place.

    .. math:: s_i \leftarrow s_i \left(L / \bar s_B\right)^{step}

    where the mean is over the batch, and a sample that was never seen counts
    as having the loss itself. A loss of its own scales each sample by itself.

    Args:
        scores (Tensor): Float32, shape (N,), 0 for samples not yet seen.
        indices (Tensor): Int64, shape (B,) or (K, B), as in :class:`Score`.
        loss (Tensor): Shape (), (B,), (K,) or (K, B). Ignored where not
            finite.
        step (float): Share of a surprise that is taken over, in (0, 1].
    """
    # As in `ema_update`: few operations, and no host is asked whether the loss
    # is finite. If not, it is no surprise and what was not seen stays at 0.
    if loss.requires_grad:
        loss = loss.detach()
    if loss.dtype != scores.dtype:
        loss = loss.to(scores.dtype)
    loss = loss.clamp(min=_FLOOR)
    of_batches = loss.ndim < indices.ndim
    if of_batches:
        loss = loss[..., None]
    ids = indices.flatten()
    ours = scores.index_select(0, ids).view_as(indices)
    ours = torch.where(ours.bool(), ours, loss)
    expected = ours.mean(-1, keepdim=True) if of_batches else ours
    surprise = (loss / expected).nan_to_num_(1.0, 1.0)
    ours.mul_(surprise.pow_(step)).clamp_(min=_FLOOR).nan_to_num_(0.0, 0.0)
    scores.index_copy_(0, ids, ours.view_as(ids))
