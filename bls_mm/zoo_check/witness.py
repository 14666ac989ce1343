"""What really happens in a training, seen from a hook."""

from typing import Any, Dict, List, Optional

from mmengine.hooks import Hook
from torch import Tensor

from bls_mm import EMAScore

from .stubs import numbers_of


class CheckError(Exception):
    """The run was not what it should be."""


class RecordingScore(EMAScore):
    """Remember which samples were scored.

    Attributes:
        indices (list[int], optional): Ids of the samples of the last call;
            None once they have been looked at.
    """

    indices: Optional[List[int]] = None

    def update(self, scores: Tensor, indices: Tensor, loss: Tensor) -> None:
        self.indices = indices.tolist()
        super().update(scores, indices, loss)


class Witness(Hook):
    """Compare what was scored with what the batches really held.

    Attributes:
        score (RecordingScore, optional): The score of the run, if it has one.
        started (bool): Whether training has begun.
        visited (int): Samples in the batches so far.
    """

    priority = 'VERY_LOW'

    def __init__(self) -> None:
        self.score: Optional[RecordingScore] = None
        self.started = False
        self.visited = 0
        self._number_of: Dict[int, int] = {}
        self._id_of: Dict[int, int] = {}

    def before_train_epoch(self, runner: Any) -> None:
        self.started = True

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Any = None,
    ) -> None:
        numbers = numbers_of(data_batch).tolist()
        self.visited += len(numbers)
        if self.score is None:
            return
        ids, self.score.indices = self.score.indices, None
        if ids is None or len(ids) != len(numbers):
            raise CheckError(f'scored {ids} for a batch of {numbers}')
        for i, number in zip(ids, numbers):
            # Ids may be numbered in another way, but one to one.
            if (
                self._number_of.setdefault(i, number) != number
                or self._id_of.setdefault(number, i) != i
            ):
                raise CheckError(
                    f'iteration {runner.iter} scored sample {i} for sample '
                    f'{number}'
                )
