"""Which dataset indices are in the batch that the training loop has got.

Batches leave a DataLoader in the order in which its batch sampler drew them,
whatever the workers do. So the batch sampler's indices are written down,
outside of any regrouping that it does, and each batch that leaves the
DataLoader takes the next of them. The batch itself is then known again in the
training loop, whoever else has read from the DataLoader.

Workers load batches before their turn. So that they need not wait at the end
of a pass, an iteration over the DataLoader may go on with the batches of the
passes that follow.
"""

from collections import deque
from itertools import count, islice
from typing import (
    Any,
    Callable,
    ContextManager,
    Deque,
    Dict,
    Iterator,
    List,
    Optional,
    Sequence,
    Tuple,
)

from torch.utils.data import DataLoader

from bls_mm.runner.class_swap import original_class, release, watch
from bls_mm.runner.private import empty_buckets

# Batches that have left the DataLoader and may still be trained on. Others
# than the training loop read it too, as PreciseBNHook does, and train on none.
_MOST_AWAITED = 1024

# Given the number of a pass, and whether it is to be entered: what to be in
# while its batches are drawn; None if the iteration should end.
ReadOn = Callable[[int, bool], Optional[ContextManager[None]]]


class Drawn:
    """A batch that the batch sampler has drawn.

    Attributes:
        number (int): Its place in the pass, from 0.
        of_pass (int): Number of the pass.
        indices (list): Indices of its samples.
        reading (object): The iteration over the DataLoader that it is for.
    """

    __slots__ = ('indices', 'number', 'of_pass', 'reading')

    def __init__(
        self, number: int, of_pass: int, indices: List[Any], reading: Any
    ) -> None:
        self.number = number
        self.of_pass = of_pass
        self.indices = indices
        self.reading = reading


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
                'it identifies batches by their order.'
            )
        self.loader = loader
        self.skip = 0
        self.pass_number = 0
        self._skips = False
        self._read_on: Optional[ReadOn] = None
        self._left: Optional[Drawn] = None
        self._closed = False
        self._awaited: Dict[int, Drawn] = {}
        self._last: Optional[Drawn] = None
        self._last_key = 0
        self._read = False  # since a batch has been found
        self._record: Optional[Deque[Drawn]] = None
        self._latest: Optional[Deque[Drawn]] = None
        self._batch_sampler: Any = loader.batch_sampler
        watch(self._batch_sampler, self, _recording)
        watch(loader, self, _following)

    def close(self) -> None:
        """Stop following."""
        self._closed = True
        release(self.loader)
        release(self._batch_sampler)

    def begin_pass(
        self, skip: int = 0, number: int = 0, reads_on: bool = False
    ) -> None:
        """Expect the batches of another pass.

        Args:
            skip (int): Batches to leave out at its start, those that were
                trained on before a resume. Defaults to 0.
            number (int): Number of the pass, from 0. Defaults to 0.
            reads_on (bool): Whether an iteration over the DataLoader goes on,
                rather than a new one begins. Defaults to False.
        """
        self.skip = skip
        self.pass_number = number
        self._skips = not reads_on
        self._last = None
        if not reads_on:
            self._awaited.clear()
            return
        late = [k for k, d in self._awaited.items() if d.of_pass < number]
        for key in late:
            del self._awaited[key]

    def read_passes(self, read_on: ReadOn) -> Iterator[Any]:
        """Iterate over the DataLoader, pass after pass.

        Args:
            read_on (callable): Called when the DataLoader asks for batches
                after the end of a pass.

        Returns:
            iterator: Batches, from the current pass on.
        """
        self._read_on = read_on
        try:
            return iter(self.loader)
        finally:
            self._read_on = None

    @property
    def latest_pass(self) -> int:
        """Number of the pass of the batch that left the DataLoader last."""
        return self.pass_number if self._left is None else self._left.of_pass

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
            key, drawn = self._guess(key)
        self._last, self._last_key = drawn, key
        self._read = False
        return drawn

    def _guess(self, key: int) -> Tuple[int, Drawn]:
        # Once one has been read, this identity may be that of a copy of it.
        last = self._last
        if not self._read and last is not None and self._last_key == key:
            return key, last  # the loop trains on it once more
        # Not what the DataLoader gave: changed on its way, or made elsewhere.
        if self._awaited:
            awaited = list(self._awaited.items())
            reading = awaited[-1][1].reading
            first = next(k for k, d in awaited if d.reading is reading)
            return first, self._awaited.pop(first)
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
        skip = self.skip if self._skips else 0
        return self._recorded(draw, record, skip, self._read_on)

    def _recorded(
        self,
        draw: Callable[[], Iterator[Sequence]],
        record: Deque[Drawn],
        skip: int,
        read_on: Optional[ReadOn],
    ) -> Iterator[Sequence]:
        of_pass = self.pass_number
        empty_buckets(self._batch_sampler)
        for number, first in enumerate(islice(draw(), skip, None), skip):
            # Copied: a batch sampler may yield one list again and again.
            record.append(Drawn(number, of_pass, list(first), record))
            yield first
        while read_on is not None and not self._closed:
            of_pass += 1
            during = read_on(of_pass, True)
            if during is None:
                return
            with during:
                empty_buckets(self._batch_sampler)
                batches: Iterator[Any] = draw()
            for number in count():
                during = read_on(of_pass, False)
                if during is None:
                    return
                with during:
                    batch: Any = next(batches, None)
                if batch is None:
                    break
                record.append(Drawn(number, of_pass, list(batch), record))
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
        self._record = self._latest = record
        try:
            batches = read()
        finally:
            self._record = None
        return self._followed(batches, record, self._read_on is not None)

    def _followed(
        self, batches: Iterator[Any], record: Deque[Drawn], of_loop: bool
    ) -> Iterator[Any]:
        awaited = self._awaited
        # Such workers serve one reader. If another begins, it begins for all.
        shared = self.loader.persistent_workers
        for batch in batches:
            latest = self._latest if shared else record
            self._left = drawn = latest.popleft() if latest else None
            if drawn is not None:
                key = id(batch)
                self._read = True
                if key in awaited:  # one that had it before is gone
                    del awaited[key]
                awaited[key] = drawn
                if len(awaited) > _MOST_AWAITED:
                    del awaited[next(iter(awaited))]
            yield batch
            if of_loop and shared and self._latest is not record:
                return  # to begin again


def _recording(cls: Any) -> type:
    """A subclass of a batch sampler class that reports to its watcher."""

    class Recording(cls):
        def __iter__(self) -> Iterator[Sequence]:
            return self.bls_watcher.record(super().__iter__)

        # Asked for its length several times an iteration, by MMEngine's hooks.
        def __len__(self) -> int:
            length, skip = cls.__len__(self), self.bls_watcher.skip
            return max(0, length - skip) if skip else length

    return Recording


def _following(cls: Any) -> type:
    """A subclass of a DataLoader class that reports to its watcher."""

    class Following(cls):
        def __iter__(self) -> Iterator[Any]:
            return self.bls_watcher.follow(super().__iter__)

    return Following
