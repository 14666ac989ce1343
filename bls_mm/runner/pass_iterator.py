"""The batches of an iteration-based loop, pass by pass."""

from typing import Any, Callable, Iterator, Optional

from torch.utils.data import DataLoader

from .private import drop_workers, keeping_workers


class PassIterator:
    """Batches of one pass after the other, for an iteration-based loop.

    It takes the place of MMEngine's infinite iterator, which sleeps two
    seconds at the end of a pass, and which on resume loads all batches that
    were trained on before.

    Args:
        loader (DataLoader): The training DataLoader.
        begin_pass (callable): Called before each pass, with whether its first
            batch has been read. Returns False if that is of no pass any more,
            and the DataLoader has to be read anew.
        end_pass (callable): Called after each pass but the last.
        read (callable): Starts reading the DataLoader, from the batches of
            the pass in hand on.
        is_over (callable): Whether the batch read last is of a later pass.
        on_failed (callable): Called when an exception ends the reading.

    Attributes:
        draws_to_skip (bool): Whether the loop skips batches that were trained
            on by drawing them, as that of mmengine 0.10.7 does.
    """

    def __init__(
        self,
        loader: DataLoader,
        begin_pass: Callable[[bool], bool],
        end_pass: Callable[[], None],
        read: Callable[[], Iterator[Any]],
        is_over: Callable[[], bool],
        on_failed: Callable[[], None],
    ) -> None:
        self._loader = loader
        self._begin_pass = begin_pass
        self._end_pass = end_pass
        self._start = read
        self._is_over = is_over
        self._on_failed = on_failed
        self._batches: Optional[Iterator[Any]] = None
        self._ignored = 0
        self.draws_to_skip = False
        self._dataset: Any = loader.dataset
        self._size = len(self._dataset)
        # A pass may be a few iterations long, and starting workers takes as
        # long as many; the unpruned run starts them once.
        self._keeps_workers = (
            loader.num_workers > 0 and not loader.persistent_workers
        )

    def ignore(self, num_iters: int) -> None:
        """Give nothing for the first ``num_iters`` batches."""
        self._ignored = num_iters

    def skip_iter(self, num_iters: int) -> None:
        """Do nothing: the hook begins where the checkpoint was saved."""

    def __iter__(self) -> 'PassIterator':
        return self

    def __next__(self) -> Any:
        if self._ignored:
            self._ignored -= 1
            return None
        try:
            return self._read_next()
        except BaseException:
            self._on_failed()
            raise

    def _read_next(self) -> Any:
        while True:
            if self._batches is not None:
                try:
                    batch = next(self._batches)
                except StopIteration:
                    self._end_pass()
                else:
                    if self._enter_pass():
                        return batch
                    self._batches = self._read()
                    continue
            self._begin_pass(False)
            self._batches = self._read()

    def _read(self) -> Iterator[Any]:
        if not self._keeps_workers:
            return self._start()
        size = len(self._dataset)
        if size != self._size:
            drop_workers(self._loader)  # which have the dataset as it was
            self._size = size
        with keeping_workers(self._loader):
            return self._start()

    def _enter_pass(self) -> bool:
        """Be in the pass of the batch in hand; False if it is of none."""
        while self._is_over():
            self._end_pass()
            if not self._begin_pass(True):
                return False
        return True

    def close(self) -> None:
        """Give the DataLoader back as it was."""
        if self._keeps_workers:
            self._batches = None
            drop_workers(self._loader)
