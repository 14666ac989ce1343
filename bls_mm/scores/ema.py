"""The score of the Batch Loss Score paper."""

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import SCORES

from .base import Score


@SCORES.register_module()
class EMAScore(Score):
    """Exponential moving average of the losses of the batches of a sample.

    Args:
        alpha (float): Weight of the past, in [0, 1). Defaults to 0.9.
        init (str): Initial score: ``'zero'``, as in the paper's released code,
            or ``'first'`` for the first batch loss, as in its text. Defaults
            to 'zero'.

    Raises:
        TypeError: If ``alpha`` is not a number.
        ValueError: If ``alpha`` or ``init`` is out of range.

    References:
        Batch Loss Score, CVPR 2026, arXiv 2604.04681.
    """

    takes_several = True

    def __init__(self, alpha: float = 0.9, init: str = 'zero') -> None:
        check_range('alpha', alpha, 0, 1, '[0, 1)')
        if init not in ('zero', 'first'):
            raise ValueError(
                f"`init` should be 'zero' or 'first', but got {init!r}."
            )
        self.alpha = alpha
        self.init = init

    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        """Update as in :meth:`Score.update`, by :func:`ema_update`."""
        ema_update(scores, indices, loss, self.alpha, self.init == 'first')


def ema_update(
    scores: Tensor,
    indices: Tensor,
    loss: Tensor,
    alpha: float,
    start_at_first: bool = False,
) -> None:
    r"""Move scores towards a batch loss, in place.

    .. math:: s_i \leftarrow \alpha s_i + (1 - \alpha) L

    An id that occurs twice in a batch moves once.

    Args:
        scores (Tensor): Float32, shape (N,).
        indices (Tensor): Int64, shape (B,) or (K, B), as in :class:`Score`.
        loss (Tensor): Shape (), (B,), (K,) or (K, B). Ignored where not
            finite.
        alpha (float): Weight of the past, in [0, 1).
        start_at_first (bool): Whether a score of exactly 0, that of a sample
            not yet seen, becomes the loss itself. Defaults to False.
    """
    # Within a training every operation costs some microseconds, so there are
    # as few as can be; none asks the host whether the loss is finite.
    if loss.requires_grad:
        loss = loss.detach()
    if loss.dtype != scores.dtype:
        loss = loss.to(scores.dtype)
    if loss.ndim < indices.ndim:
        loss = loss[..., None]
    ids = indices.flatten()
    ours = scores.index_select(0, ids).view_as(indices)
    way = (loss - ours).nan_to_num_(0.0, 0.0, 0.0)
    if start_at_first:
        ours += torch.where(ours == 0, way, way * (1 - alpha))
    else:
        ours.add_(way, alpha=1 - alpha)
    scores.index_copy_(0, ids, ours.view_as(ids))
