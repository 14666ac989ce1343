"""Which dataset indices are in the batch that the training loop has got.

Batches leave a DataLoader in the order in which its batch sampler drew them,
whatever the workers do. So the batch sampler's indices are written down,
outside of any regrouping that it does, and each batch that leaves the
DataLoader takes the next of them. The batch itself is then known again in the
training loop, whoever else has read from the DataLoader.
"""

from collections import deque
from itertools import islice
from typing import (
    Any,
    Callable,
    Deque,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
)

from torch.utils.data import DataLoader

from bls_mm.runner.class_swap import original_class, release, watch
from bls_mm.runner.private import empty_buckets

# Batches that have left the DataLoader and may still be trained on. Others
# than the training loop read it too, as PreciseBNHook does, and train on none.
_MOST_AWAITED = 1024


class Drawn:
    """A batch that the batch sampler has drawn.

    Attributes:
        number (int): Its place in the pass, from 0.
        indices (list): Indices of its samples.
        reading (object): The iteration over the DataLoader that it is for.
        key (int): Identity of the batch that has left the DataLoader.
    """

    __slots__ = ('indices', 'key', 'number', 'reading')

    def __init__(self, number: int, indices: List[Any], reading: Any) -> None:
        self.number = number
        self.indices = indices
        self.reading = reading
        self.key = 0


class BatchTracker:
    """Follow the batches of a DataLoader.

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
        self.loader = loader
        self.skip = 0
        self._skips = False
        self._awaited: Dict[int, Drawn] = {}
        self._last: Optional[Drawn] = None
        self._record: Optional[Deque[Drawn]] = None
        self._batch_sampler: Any = loader.batch_sampler
        watch(self._batch_sampler, self, _recording)
        watch(loader, self, _following)

    def close(self) -> None:
        """Stop following."""
        release(self.loader)
        release(self._batch_sampler)

    def begin_pass(self, skip: int = 0) -> None:
        """Expect a new iteration over the DataLoader.

        Args:
            skip (int): Batches to leave out at its start, those that were
                trained on before a resume. Defaults to 0.
        """
        self.skip = skip
        self._skips = True
        self._awaited.clear()
        self._last = None

    def num_batches(self) -> int:
        """Batches of the whole current pass, skipped ones included."""
        cls: Any = original_class(self._batch_sampler)
        return cls.__len__(self._batch_sampler)

    def find(self, batch: Any) -> Drawn:
        """What the batch sampler drew for a batch.

        Args:
            batch (object): What the training loop got.

        Raises:
            RuntimeError: If no batch that could be this one has left the
                DataLoader.
        """
        self._skips = False  # whoever reads now reads from the start
        key = id(batch)
        drawn = self._awaited.pop(key, None)
        if drawn is None:
            drawn = self._guess(key)
        self._last = drawn
        return drawn

    def _guess(self, key: int) -> Drawn:
        if self._last is not None and self._last.key == key:
            return self._last  # the loop trains on it once more
        # Not what the DataLoader gave: changed on its way, or made elsewhere.
        if self._awaited:
            drawn = list(self._awaited.values())
            reading = drawn[-1].reading
            first = next(d for d in drawn if d.reading is reading)
            return self._awaited.pop(first.key)
        raise RuntimeError(
            'BLSHook does not know which samples are in this batch: it did '
            'not come out of `runner.train_loop.dataloader` in this pass. A '
            'training loop or a hook that trains on batches of its own cannot '
            'be combined with BLSHook.'
        )

    def record(
        self, draw: Callable[[], Iterator[Sequence]]
    ) -> Iterator[Sequence]:
        """Write down the batches of one iteration over the batch sampler.

        Args:
            draw (callable): Starts the iteration.

        Returns:
            iterator: Its batches.
        """
        record = self._record
        if record is None:  # not for a DataLoader
            return draw()
        return self._recorded(draw, record, self.skip if self._skips else 0)

    def _recorded(
        self,
        draw: Callable[[], Iterator[Sequence]],
        record: Deque[Drawn],
        skip: int,
    ) -> Iterator[Sequence]:
        empty_buckets(self._batch_sampler)
        for number, batch in enumerate(islice(draw(), skip, None), skip):
            # Copied: a batch sampler may yield one list again and again.
            record.append(Drawn(number, list(batch), record))
            yield batch

    def follow(self, read: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Follow one iteration over the DataLoader.

        Args:
            read (callable): Starts the iteration.

        Returns:
            iterator: Its batches.
        """
        # One for each iteration, as several may run at a time. The DataLoader
        # starts that over its batch sampler at once.
        record: Deque[Drawn] = deque()
        self._record = record
        try:
            batches = read()
        finally:
            self._record = None
        return self._followed(batches, record)

    def _followed(
        self, batches: Iterator[Any], record: Deque[Drawn]
    ) -> Iterator[Any]:
        awaited = self._awaited
        for batch in batches:
            if record:
                drawn = record.popleft()
                drawn.key = key = id(batch)
                # One that had this identity before is gone.
                awaited.pop(key, None)
                awaited[key] = drawn
                if len(awaited) > _MOST_AWAITED:
                    del awaited[next(iter(awaited))]
            yield batch


def _recording(cls: Any) -> type:
    """A subclass of a batch sampler class that reports to its watcher."""

    class Recording(cls):
        def __iter__(self) -> Iterator[Sequence]:
            return self.bls_watcher.record(super().__iter__)

        def __len__(self) -> int:
            return max(0, super().__len__() - self.bls_watcher.skip)

    return Recording


def _following(cls: Any) -> type:
    """A subclass of a DataLoader class that reports to its watcher."""

    class Following(cls):
        def __iter__(self) -> Iterator[Any]:
            return self.bls_watcher.follow(super().__iter__)

    return Following
