"""A score that asks which samples a batch loss is a surprise for."""

import functools
from typing import Tuple

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import SCORES

from .base import Score

_FLOOR = 1e-8
# Weight of a batch in the level: it follows the losses of some ten batches.
_TREND = 0.1


@SCORES.register_module()
class MARTScore(Score):
    """Estimate of a sample's own loss, by multiplicative reconstruction.

    A batch loss is the mean of its samples' losses, so the batches of a
    training run are linear measurements of them. The scores predict the next
    batch loss; what it differs from the prediction corrects them. Scores are
    relative to the level of the losses, a moving average that takes up the
    trend of training: 1 is a sample like the others.

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
        self.memory = torch.zeros(2)

    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        """Update as in :meth:`Score.update`, by :func:`mart_update`."""
        self.memory = self.memory.to(scores.device)
        mart_update(scores, indices, loss, self.memory, self.step)


def mart_update(
    scores: Tensor, indices: Tensor, loss: Tensor, memory: Tensor, step: float
) -> None:
    r"""Scale scores until they explain a batch loss better, in place.

    .. math:: s_i \leftarrow s_i
        \left(\frac{L}{\lambda\,\bar s_B}\right)^{step}, \qquad
        \log\lambda = \operatorname{average}\left(
        \log\frac{L}{\bar s_B}\right)

    with means over the batch and a moving average over batches, which this
    one is the last of. A sample not yet seen counts as 1. A loss of its own
    scales each sample by itself, and the first one is taken over as it is.

    Args:
        scores (Tensor): Float32, shape (N,), 0 for samples not yet seen.
        indices (Tensor): Int64, shape (B,) or (K, B), as in :class:`Score`.
        loss (Tensor): Shape (), (B,), (K,) or (K, B). Ignored where not
            finite.
        memory (Tensor): The moving average, see :func:`levels`. Changed in
            place.
        step (float): Share of a surprise that is taken over, in (0, 1].
    """
    # As in `ema_update`: no host is asked whether the loss is finite.
    loss = loss.detach().to(scores.dtype).clamp(min=_FLOOR)
    of_batches = loss.ndim < indices.ndim
    ids = indices.flatten()
    before = scores.index_select(0, ids).view_as(indices)
    seen = before > 0
    ours = before.where(seen, 1.0)
    of_batch = loss if of_batches else loss.mean(-1)
    surprise = of_batch / ours.mean(-1)
    level = levels(memory, surprise.reshape(-1)).view_as(surprise)
    if of_batches:
        after = ours * (surprise / level)[..., None] ** step
    else:
        own = loss / level[..., None]
        ours = ours.where(seen, own)
        after = ours * (own / ours) ** step
    after = after.clamp(min=_FLOOR).where(after.isfinite(), before)
    scores.index_copy_(0, ids, after.view_as(ids))


def levels(memory: Tensor, values: Tensor) -> Tensor:
    """Geometric moving average of values, up to and with each of them.

    Args:
        memory (Tensor): Weighted sum of the logarithms so far, and sum of
            the weights, shape (2,). Changed in place; starts at 0, so that
            the average starts at the first value.
        values (Tensor): Positive, shape (K,). Ignored where not finite.

    Returns:
        Tensor: Shape (K,), NaN before the first finite value.
    """
    logs = values.log()
    known = logs.isfinite()
    terms = torch.stack([logs.where(known, 0.0), known])
    kept, past = _weights(len(values), values.device)
    sums = torch.addcmul(terms @ kept, memory[:, None], past)
    memory.copy_(sums[:, -1])
    return (sums[0] / sums[1]).exp()


@functools.lru_cache(maxsize=4)
def _weights(count: int, device: torch.device) -> Tuple[Tensor, Tensor]:
    """What a value and the past weigh in each average, (K, K) and (K,)."""
    number = torch.arange(count, device=device)
    lags = number - number[:, None]
    kept = (_TREND * (1 - _TREND) ** lags).triu()
    return kept, (1 - _TREND) ** (number + 1)
