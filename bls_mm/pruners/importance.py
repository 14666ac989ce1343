"""Importance: keep hard samples often, easy ones in turn, and weigh both."""

import math
from typing import Optional

import torch
from torch import Tensor

from bls_mm.checks import check_range
from bls_mm.registry import PRUNERS

from .base import Pruner, Selection, random_order, run_generator

# Scores that decide the probabilities of all.
_LOOKED_AT = 2**16
# Added to each measure, as a share of their mean: an easy sample is kept with
# a fifth of the mean probability, and weighs five times the mean, at most.
_FLOOR = 0.25
# Steps of this share of a circle spread over it more evenly than any other.
_GOLDEN = (math.sqrt(5) - 1) / 2


@PRUNERS.register_module()
class Importance(Pruner):
    """Keep each sample with a probability that grows with its score.

    A kept sample weighs the inverse of its probability, and each sample's own
    gradient is multiplied by that where the model computes losses of samples.

    Args:
        prune_ratio (float, optional): Share of all samples to drop, in [0, 1).
            None means 0.5. Defaults to None.
        delta (float, optional): Share of the passes after which all samples
            are visited with weight 1, in [0, 1]. None means 0.875, or 1 with
            ``target_saving``. Defaults to None.
        target_saving (float, optional): Share of all sample visits of the run
            to save, in (0, 1), instead of ``prune_ratio``. Defaults to None.
        power (float): Power of the score that probabilities are proportional
            to, in [0, 1]. 0 ignores the scores: random pruning in which
            samples take turns. Defaults to 0.5.

    References:
        Ours, see :func:`select_importance`. Importance sampling with weights
        for each sample: Zhao and Zhang, Stochastic Optimization with
        Importance Sampling, ICML 2015.
    """

    weighs_samples = True

    def __init__(
        self,
        prune_ratio: Optional[float] = None,
        delta: Optional[float] = None,
        target_saving: Optional[float] = None,
        power: float = 0.5,
    ) -> None:
        super().__init__(prune_ratio, delta, target_saving)
        check_range('power', power, 0, 1, '[0, 1]')
        self.power = power

    def select_ratio(
        self, scores: Tensor, generator: torch.Generator, epoch: int
    ) -> Selection:
        return self.select_share(scores, self.prune_ratio, generator, epoch)

    def select_share(
        self,
        scores: Tensor,
        share: float,
        generator: torch.Generator,
        epoch: int,
    ) -> Selection:
        return select_importance(scores, share, self.power, generator, epoch)


def select_importance(
    scores: Tensor,
    share: float,
    power: float,
    generator: torch.Generator,
    epoch: int,
) -> Selection:
    r"""Keep sample :math:`i` with probability :math:`p_i`, in turn.

    Each sample has a place on a circle of length 1, at random and evenly
    spread. Pass :math:`t` keeps it if its place, turned by :math:`t` golden
    sections, is below :math:`p_i`. So samples of one probability take turns:
    none waits much longer than :math:`1 / p_i` passes.

    Args:
        scores (Tensor): Shape (N,).
        share (float): Share of all samples to drop, in [0, 1).
        power (float): See :func:`keep_probabilities`.
        generator (torch.Generator): Source of randomness of the pass; the
            places come from :func:`run_generator`.
        epoch (int): Number of the pass, from 0.

    Returns:
        Selection: On average :math:`(1 - share) N` samples, at least one,
        with the weights :math:`1 / p_i`.
    """
    probabilities = keep_probabilities(scores, share, power)
    places = turned_places(len(scores), generator, epoch).to(scores.device)
    kept = places < probabilities
    if not bool(kept.any()):  # of a handful of samples
        kept[(places / probabilities).argmin()] = True
    indices = kept.nonzero().squeeze(1)
    return Selection(indices, 1 / probabilities[indices])


def turned_places(size: int, generator: torch.Generator, epoch: int) -> Tensor:
    """Places on a circle, turned by as many golden sections as passes.

    Args:
        size (int): Number of samples N.
        generator (torch.Generator): Source of randomness of the pass.
        epoch (int): Number of the pass, from 0.

    Returns:
        Tensor: The numbers ``(n + u) / N`` in an order of the run's own, with
        a random ``u`` in [0, 1), turned; float32 in [0, 1), shape (N,), on the
        device of the generator.
    """
    of_run = run_generator(generator, epoch)
    order = random_order(size, of_run)
    first = torch.rand(1, generator=of_run, device=of_run.device) / size
    turn = first + epoch * _GOLDEN % 1
    places = order.float().div_(size).add_(turn)
    return places.sub_((places >= 1).float())


def keep_probabilities(scores: Tensor, share: float, power: float) -> Tensor:
    r"""Probabilities to keep samples with, for gradients of little variance.

    If the weights :math:`1 / p_i` make the gradient unbiased, its variance is
    least with :math:`p_i` proportional to the norm of the gradient of the
    sample. What stands for it is a power of the score, because norms grow less
    than losses: of a softmax, :math:`\lVert p - y \rVert` is bounded. With
    :math:`a_i` for that power and :math:`\bar a` for its mean,

    .. math:: p_i = \min(1, c\,(a_i + \bar a / 4))

    where :math:`c` makes the mean of :math:`p_i` as large as is to be kept.
    Equal scores have equal probabilities: that is random pruning.

    Args:
        scores (Tensor): Shape (N,), N at least 1. Scores below 0 are taken
            relative to the lowest.
        share (float): Share of all samples to drop, in [0, 1).
        power (float): Power of the score, in [0, 1].

    Returns:
        Tensor: Float32, shape (N,), in (0, 1]. Above 65,536 scores, every
        k-th decides on :math:`c`, which is accurate enough.

    References:
        Ours. That the norm of the gradient is the best measure for drawing
        samples: Zhao and Zhang, Stochastic Optimization with Importance
        Sampling, ICML 2015.
    """
    measure = _relative(scores)
    # Devices round powers and roots differently in the last bit. That of a
    # double is lost here; in pieces, because doubles take twice the memory.
    for piece in measure.split(_LOOKED_AT):
        piece.copy_(piece.double().pow_(power))
    stride = -(-len(scores) // _LOOKED_AT)
    some = measure[::stride].cpu().double()
    floor = _FLOOR * float(some.mean()) or 1.0  # if all are 0
    ordered = (some + floor).sort(descending=True).values
    # With the first j at the ceiling, the others share what is left.
    left = (1 - share) * len(ordered) - torch.arange(len(ordered))
    slopes = left / ordered.flip(0).cumsum(0).flip(0)
    fits = slopes * ordered <= 1 + 1e-9
    slope = float(slopes[int(fits.int().argmax())])
    return measure.add_(floor).mul_(slope).clamp_(max=1)


def _relative(scores: Tensor) -> Tensor:
    """Scores from 0, as shares of the largest, so that none overflows."""
    finite = scores.float().clamp(max=torch.finfo(torch.float32).max)
    largest = finite.abs().max()
    # By a tensor: by a number, a GPU multiplies with the inverse, and a CPU
    # does not.
    finite = finite / largest.where(largest > 0, torch.ones_like(largest))
    return finite - finite.min().clamp(max=0)
