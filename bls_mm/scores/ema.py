"""The score of the Batch Loss Score paper."""

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import SCORES

from .base import Score


@SCORES.register_module()
class EMAScore(Score):
    """Exponential moving average of the losses of a sample's batches.

    Args:
        alpha (float): Weight of the past, in [0, 1). Defaults to 0.9.
        init (str): Where a score starts: ``'zero'`` as in the paper's
            released code, or ``'first'``, the first batch loss, as in its
            text. Defaults to 'zero'.

    Raises:
        TypeError: If ``alpha`` is not a number.
        ValueError: If ``alpha`` or ``init`` is out of range.

    References:
        Batch Loss Score, CVPR 2026, arXiv 2604.04681.
    """

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
        indices (Tensor): Int64, shape (B,).
        loss (Tensor): Shape (). Ignored if not finite.
        alpha (float): Weight of the past, in [0, 1).
        start_at_first (bool): Whether a score of exactly 0, that of a sample
            not yet seen, becomes the loss itself. Defaults to False.
    """
    loss = loss.detach().to(scores.dtype)
    old = scores.index_select(0, indices)
    new = torch.lerp(old, loss, 1 - alpha)
    if start_at_first:
        new = torch.where(old == 0, loss, new)
    # On device, without asking the host whether the loss is finite: only then
    # its difference to itself is 0. `torch.isfinite` takes twice the time.
    new = torch.where(loss - loss == 0, new, old)
    scores.index_copy_(0, indices, new)
