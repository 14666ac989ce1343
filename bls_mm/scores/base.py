"""What a score is: a rule that turns batch losses into sample scores."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Score(ABC):
    """Base class of score rules.

    A rule keeps what it knows in the score buffer and in ``memory``, which
    training merges over ranks and stores in checkpoints.

    Attributes:
        memory (Tensor): State of the rule in addition to the scores, float32,
            shape (M,). Starts at 0; averaged over ranks once per pass.
            Defaults to none, of shape (0,).
        takes_several (bool): Whether :meth:`update` also takes K batches of
            one size that have no sample in common: ids of shape (K, B), and
            losses of shape (K,) or (K, B). Training may then delay updates to
            batch them. Defaults to False.
    """

    memory = torch.empty(0)
    takes_several = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if 'update' in vars(cls) and 'takes_several' not in vars(cls):
            cls.takes_several = False  # what it inherits is about another

    @abstractmethod
    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        """Update the scores of the samples of a batch, in place.

        Called for every batch, possibly some iterations later. Use only a few
        device operations and never synchronize with the host. A loss that is
        not finite changes nothing.

        Args:
            scores (Tensor): Score of every sample, float32, shape (N,).
            indices (Tensor): Ids of the samples of the batch, int64, shape
                (B,), on the device of ``scores``. An id may occur twice.
            loss (Tensor): Loss of the batch, any float dtype, shape (); or,
                where the model computes them, the losses of its samples,
                shape (B,), whose mean is that of the batch.
        """
