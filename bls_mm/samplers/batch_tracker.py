"""Which dataset indices are in the batch in hand.

Batches reach the training loop in the order in which the batch sampler drew
them, whatever the workers do. So it is enough to write down what the batch
sampler yields, outside of any regrouping that it does.
"""

from collections import deque
from itertools import islice
from typing import Any, Deque, Iterator, List, Sequence, cast

from torch.utils.data import DataLoader

from bls_mm.runner.private import empty_buckets


class BatchTracker:
    """Record the batches of training passes.

    The class of the batch sampler object is replaced by a subclass. The
    object stays the same, so an iterator of persistent workers that holds on
    to it is followed too, and isinstance checks keep working.

    Args:
        loader (DataLoader): The training DataLoader.

    Raises:
        ValueError: If batches can overtake each other.
    """

    def __init__(self, loader: DataLoader) -> None:
        if not getattr(loader, 'in_order', True):
            raise ValueError(
                '`train_dataloader.in_order` should be True with BLSHook: '
                'it tells batches apart by their order.'
            )
        self._batches: Deque[List[Any]] = deque()
        self._armed = False
        self._skip = 0
        self._batch_sampler = cast(Any, loader.batch_sampler)
        self._original_class: Any = type(self._batch_sampler)
        self._batch_sampler.__class__ = _recording(self._original_class)
        self._batch_sampler.bls_tracker = self

    def close(self) -> None:
        """Give the batch sampler its own class back."""
        self._batch_sampler.__class__ = self._original_class
        del self._batch_sampler.bls_tracker

    def arm(self, skip: int = 0) -> None:
        """Record the next iteration over the batch sampler.

        Others, such as an extra pass of ``PreciseBNHook``, are not recorded.

        Args:
            skip (int): Batches to leave out at its start, those that were
                trained on before a resume. Defaults to 0.
        """
        self._armed = True
        self._skip = skip

    @property
    def skip(self) -> int:
        """Batches left out at the start of the recorded pass."""
        return self._skip

    def num_batches(self) -> int:
        """Batches of the whole current pass, skipped ones included."""
        return self._original_class.__len__(self._batch_sampler)

    def pop(self) -> List[Any]:
        """The indices of the next batch that reaches the training loop.

        Raises:
            RuntimeError: If no batch was drawn.
        """
        if not self._batches:
            raise RuntimeError(
                'BLSHook lost track of the batches: the training loop got a '
                'batch that the batch sampler of `train_dataloader` did not '
                'draw in this pass.'
            )
        return self._batches.popleft()

    def record(self, batches: Iterator[Sequence]) -> Iterator[Sequence]:
        """Pass batches through, writing them down if armed.

        A generator, so that an iterator that is made and never drawn from,
        as the DataLoader makes one before it starts workers, does not count.
        """
        if not self._armed:
            yield from batches
            return
        self._armed = False
        written: Deque[List[Any]] = deque()
        self._batches = written
        for batch in islice(batches, self._skip, None):
            # Copied: a batch sampler may yield one list again and again.
            written.append(list(batch))
            yield batch


def _recording(cls: Any) -> type:
    """A subclass of a batch sampler class that reports to its tracker."""

    class Recording(cls):
        def __iter__(self) -> Iterator[Sequence]:
            empty_buckets(self)
            yield from self.bls_tracker.record(super().__iter__())

        def __len__(self) -> int:
            return max(0, super().__len__() - self.bls_tracker.skip)

    Recording.__name__ = cls.__name__
    return Recording
