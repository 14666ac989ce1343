"""What a pruner is: scores in, the samples worth visiting out."""

from abc import ABC, abstractmethod
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from bls_mm.checks import check_range

_CHUNK = 2**20
# Keeps the random numbers of a selection apart from those of the order, which
# is drawn with the sum of seed and epoch. 32 bits: torch ignores higher ones.
_SELECTION_STREAM = 0x9E3779B9


class Selection(NamedTuple):
    """The samples that a pass visits.

    Attributes:
        indices (Tensor): Sample ids, int64, shape (M,), ascending, each once.
        weights (Tensor): Weight of each sample's loss, float32, shape (M,),
            at least 1.
    """

    indices: Tensor
    weights: Tensor


class Pruner(ABC):
    """Base class of pruning rules.

    A rule gets the scores, a random generator and the number of the pass. It
    does not decide which passes are pruned. A rule of your own implements
    :meth:`select_ratio` and, for a ``target_saving``, :meth:`select_share`.

    Args:
        prune_ratio (float, optional): Share of samples to drop, in [0, 1).
            Each rule defines what it is a share of. None means the
            ``default_ratio`` of the rule. Defaults to None.
        delta (float, optional): Share of the passes after which pruning stops,
            in [0, 1]. None means 0.875, as in the papers, or 1 with
            ``target_saving``, because unpruned passes would force the others
            to drop more. Defaults to None.
        target_saving (float, optional): Share of all sample visits of the run
            to save, in (0, 1), instead of ``prune_ratio``. Each pruned pass
            then drops the share needed to reach it. Defaults to None.

    Attributes:
        weighs_samples (bool): How the weights of a selection are applied. If
            False, the loss of a batch is multiplied by their mean. If True,
            the gradient of each sample is multiplied by its own, relative to
            the mean weight of the pass, see :class:`SampleWeights`.

    Raises:
        TypeError: If an argument is not a number.
        ValueError: If an argument is out of range, or both ``prune_ratio``
            and ``target_saving`` are given.
    """

    default_ratio = 0.5
    weighs_samples = False

    def __init__(
        self,
        prune_ratio: Optional[float] = None,
        delta: Optional[float] = None,
        target_saving: Optional[float] = None,
    ) -> None:
        if target_saving is not None:
            check_range('target_saving', target_saving, 0, 1, '(0, 1)')
            if prune_ratio is not None:
                raise ValueError(
                    '`target_saving` and `prune_ratio` cannot both be set, '
                    f'but got `prune_ratio={prune_ratio}`.'
                )
        if prune_ratio is None:
            prune_ratio = self.default_ratio
        if delta is None:
            delta = 0.875 if target_saving is None else 1.0
        check_range('prune_ratio', prune_ratio, 0, 1, '[0, 1)')
        check_range('delta', delta, 0, 1, '[0, 1]')
        self.prune_ratio = prune_ratio
        self.delta = delta
        self.target_saving = target_saving

    def select(
        self,
        scores: Tensor,
        generator: torch.Generator,
        epoch: int = 0,
        share: Optional[float] = None,
    ) -> Selection:
        """Choose the samples of one pass.

        Args:
            scores (Tensor): Score of every sample, shape (N,), float.
            generator (torch.Generator): Source of all randomness.
            epoch (int): Number of the pass, from 0. Defaults to 0.
            share (float, optional): Share of all samples to drop, in [0, 1).
                Defaults to None, drop what ``prune_ratio`` says.

        Returns:
            Selection: At least one sample, on the device of ``scores``.

        Raises:
            ValueError: If there is a ``share`` and the rule cannot drop a
                given share.
        """
        if share is None:
            return self.select_ratio(scores, generator, epoch)
        return self.select_share(scores, share, generator, epoch)

    @abstractmethod
    def select_ratio(
        self, scores: Tensor, generator: torch.Generator, epoch: int
    ) -> Selection:
        """The rule, dropping what ``prune_ratio`` says.

        Arguments as in :meth:`select`.
        """

    def select_share(
        self,
        scores: Tensor,
        share: float,
        generator: torch.Generator,
        epoch: int,
    ) -> Selection:
        """The rule, dropping a given share of all samples.

        Arguments as in :meth:`select`.

        Raises:
            ValueError: Unless a rule overrides it.
        """
        raise ValueError(
            f'{type(self).__name__} does not support `target_saving`. Set '
            '`prune_ratio` instead.'
        )

    def anneal(self, scores: Tensor, generator: torch.Generator) -> Selection:
        """Choose the samples of a pass after ``delta`` of the passes.

        Defaults to all of them with weight 1; arguments as in
        :meth:`select`.
        """
        return select_all(scores)


def select_all(scores: Tensor) -> Selection:
    """All samples with weight 1."""
    indices = torch.arange(len(scores), device=scores.device)
    return Selection(indices, torch.ones_like(scores, dtype=torch.float32))


def select_random(
    scores: Tensor, prune_ratio: float, generator: torch.Generator
) -> Selection:
    """Drop a random share of all samples, the rest with weight 1.

    Args:
        scores (Tensor): Shape (N,); only its length and device count.
        prune_ratio (float): Share to drop, in [0, 1).
        generator (torch.Generator): Source of randomness.

    Returns:
        Selection: ``round((1 - prune_ratio) * N)`` samples, at least one.
    """
    total = len(scores)
    size = max(1, round((1 - prune_ratio) * total))
    kept = random_subset(total, size, generator, scores.device)
    return select_mask(kept)


def select_mask(kept: Tensor) -> Selection:
    """The samples of a mask, bool, shape (N,), with weight 1."""
    indices = kept.nonzero().squeeze(1)
    weights = torch.ones_like(indices, dtype=torch.float32)
    return Selection(indices, weights)


def random_subset(
    total: int, size: int, generator: torch.Generator, device: torch.device
) -> Tensor:
    """Mark ``size`` of ``total`` places at random.

    Takes 5 bytes a place at its peak, where a permutation takes 8 and
    sorting it 24.

    Returns:
        Tensor: Bool, shape (total,), drawn where the generator lives and
        moved to ``device``.
    """
    order = random_order(total, generator)
    chosen = torch.zeros(total, dtype=torch.bool, device=order.device)
    for part in order[:size].split(_CHUNK):
        chosen[part.long()] = True  # an index has to be int64
    return chosen.to(device)


def random_order(total: int, generator: torch.Generator) -> Tensor:
    """The numbers below ``total`` in random order.

    Returns:
        Tensor: Int32 if they fit, else int64, shape (total,), where the
        generator lives.
    """
    return torch.randperm(
        total,
        generator=generator,
        device=generator.device,
        dtype=torch.int32 if total < 2**31 else torch.int64,
    )


def run_generator(generator: torch.Generator, epoch: int) -> torch.Generator:
    """A source of randomness that is the same in every pass of a run.

    Args:
        generator (torch.Generator): That of a pass, as
            :func:`selection_generator` makes it.
        epoch (int): Number of the pass, from 0.
    """
    of_run = torch.Generator(generator.device)
    of_run.manual_seed(generator.initial_seed() - epoch)
    return of_run


def selection_generator(
    seed: int, number: int, device: torch.device
) -> torch.Generator:
    """The source of randomness of a selection.

    Args:
        seed (int): Seed of the sampler.
        number (int): Number of the pass.
        device (torch.device): Device of the scores.
    """
    generator = torch.Generator(device)
    generator.manual_seed(seed + number + _SELECTION_STREAM)
    return generator
