"""What a score is: a rule that turns batch losses into sample scores."""

from abc import ABC, abstractmethod

from torch import Tensor


class Score(ABC):
    """Base class of score rules.

    A rule keeps all it knows in the score buffer, which training merges over
    ranks and stores in checkpoints.
    """

    @abstractmethod
    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        """Update the scores of the samples of a batch, in place.

        Called once an iteration: a handful of device operations, no value
        may travel to the host. A loss that is not finite changes nothing.

        Args:
            scores (Tensor): Score of every sample, float32, shape (N,).
            indices (Tensor): Ids of the samples of the batch, int64, shape
                (B,), on the device of ``scores``. An id may occur twice.
            loss (Tensor): Loss of the batch, any float dtype, shape ().
        """
