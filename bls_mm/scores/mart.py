"""A score that asks which samples a batch loss is a surprise for."""

import functools
from typing import Tuple

import torch
from torch import Tensor
from torch.nn.functional import threshold

from bls_mm.checks import check_range
from bls_mm.registry import SCORES

from .base import Score

_FLOOR = 1e-8
# What a loss has to be below 0 to count as negative: rounding is not.
_ROUNDING = 1e-6
_INFINITY = float('inf')
# Weight of a batch in the level: it follows the losses of some ten batches.
_TREND = 0.1


@SCORES.register_module()
class MARTScore(Score):
    """Estimate of a sample's own loss, by multiplicative reconstruction.

    A batch loss is the mean of its samples' losses, so the batches of a
    training run are linear measurements of them. The scores predict the next
    batch loss; the difference from the prediction corrects them. Scores are
    relative to the level of the losses, a moving average that takes up the
    trend of training: 1 is a typical sample.

    Losses that may be negative, as those of SimSiam or a log likelihood, are
    lifted by twice the lowest one so far, which makes the rule an additive
    one; where none is below 0 they stay as they are. A loss of exactly 0 has
    no ratio to anything: it takes the share ``step`` off a score, and says
    nothing about the level.

    Args:
        step (float): Share of each correction that is applied, in (0, 1].
            Defaults to 0.5.

    Raises:
        TypeError: If ``step`` is not a number.
        ValueError: If ``step`` is out of range.

    References:
        Ours, the multiplicative algebraic reconstruction technique (MART)
        of Gordon, Bender and Herman, J. Theor. Biol. 29, 1970, with batches
        as rays; see docs/method.md.
    """

    takes_several = True

    def __init__(self, step: float = 0.5) -> None:
        check_range('step', step, 0, 1, '(0, 1]')
        self.step = step
        self.memory = torch.zeros(3)

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
    one is the last of. A sample not yet seen counts as 1. If each sample
    has a loss of its own, that alone scales its score, and its first loss,
    divided by :math:`\lambda`, is its first score.

    Losses are lifted by :func:`lift` first. One of 0 scales by 1 - step.

    Args:
        scores (Tensor): Float32, shape (N,), 0 for samples not yet seen.
        indices (Tensor): Int64, shape (B,) or (K, B), as in :class:`Score`.
        loss (Tensor): Shape (), (B,), (K,) or (K, B). Ignored where not
            finite.
        memory (Tensor): Float32, shape (3,): the moving average, see
            :func:`levels`, and the lowest loss, see :func:`lift`. Changed in
            place; starts at 0.
        step (float): Share of each correction that is applied, in (0, 1].
    """
    # As in `ema_update`: no host is asked whether the loss is finite.
    nan = float('nan')
    loss = loss.detach().to(scores.dtype).nan_to_num(nan, nan, nan)
    of_batches = loss.ndim < indices.ndim
    loss = threshold(lift(memory, loss, of_batches), _FLOOR, 0.0)
    before = scores.take(indices)
    ours = threshold(before, 0.0, 1.0)
    of_batch = loss if of_batches else loss.mean(-1)
    surprise = of_batch / ours.mean(-1)
    level = levels(memory[:2], surprise)
    if of_batches:
        scale = (surprise / level) ** step
        scale = scale.where(loss != 0, 1 - step)
        after = ours * scale[..., None]
    else:
        own = loss / level[..., None]
        start = before.where(before > 0, own)
        after = start * (own / start) ** step
        after = after.where(loss != 0, ours * (1 - step))
    after = after.clamp(min=_FLOOR).where(after < _INFINITY, before)
    scores.index_copy_(0, indices.flatten(), after.flatten())


def lift(memory: Tensor, loss: Tensor, of_batches: bool) -> Tensor:
    r"""Lift losses by twice the lowest so far, so that none is negative.

    The lowest then comes out as its own absolute value, and losses that are
    far below 0, in relation to how they differ, as much alike: for them
    :func:`mart_update` is the additive rule of ART, with :math:`1 + x \approx
    e^x`. A rank that has not seen the lowest of all ranks, but their mean,
    still lifts enough for the most part.

    Args:
        memory (Tensor): The last of it is the lowest loss so far, or 0.
            Changed in place.
        loss (Tensor): Shape (), (B,), (K,) or (K, B). NaN where not finite.
        of_batches (bool): Whether it is one number a batch.

    Returns:
        Tensor: Of the shape of ``loss``, which it equals as long as no loss
        was negative.
    """
    lowest = memory[2]
    lows = (loss if of_batches else loss.amin(-1)) + _ROUNDING
    if not lows.ndim:
        by = torch.fmin(lowest, lows, out=lowest)
    else:
        lows = torch.cat([memory[2:], lows.nan_to_num()]).cummin(0).values
        lowest.copy_(lows[-1])
        by = lows[1:] if of_batches else lows[1:, None]
    return torch.sub(loss, by, alpha=2)


def levels(memory: Tensor, values: Tensor) -> Tensor:
    """Geometric moving average of values, up to and with each of them.

    Args:
        memory (Tensor): Weighted sum of the logarithms so far, and sum of
            the weights, shape (2,). Changed in place; starts at 0, so that
            the average starts at the first value.
        values (Tensor): Shape () or (K,). Ignored where not positive and
            finite.

    Returns:
        Tensor: Of the shape of ``values``, NaN before the first positive and
        finite one.
    """
    logs = values.log()
    known = logs.abs() < _INFINITY
    terms = torch.stack([logs.nan_to_num(0.0, 0.0, 0.0), known])
    if not values.ndim:
        sums = terms * _TREND
        sums = torch.add(sums, memory, alpha=1 - _TREND, out=memory)
    else:
        kept, past = _weights(len(values), values.device)
        sums = torch.addcmul(terms @ kept, memory[:, None], past)
        memory.copy_(sums[:, -1])
    total, weight = sums.unbind()
    return (total / weight).exp()


@functools.lru_cache(maxsize=4)
def _weights(count: int, device: torch.device) -> Tuple[Tensor, Tensor]:
    """What a value and the past weigh in each average, (K, K) and (K,)."""
    number = torch.arange(count, device=device)
    lags = number - number[:, None]
    kept = (_TREND * (1 - _TREND) ** lags).triu()
    return kept, (1 - _TREND) ** (number + 1)
