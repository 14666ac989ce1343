"""The batches of an iteration-based loop, pass by pass."""

from typing import Any, Callable, Iterator, Optional

from torch.utils.data import DataLoader

from .private import keep_workers


class PassIterator:
    """Batches of one pass after the other, for an iteration-based loop.

    It takes the place of MMEngine's infinite iterator, which sleeps two
    seconds at the end of a pass, and which on resume loads all batches that
    were trained on before.

    Args:
        loader (DataLoader): The training DataLoader.
        begin_pass (callable): Called before each pass.
        end_pass (callable): Called after each pass but the last.
    """

    def __init__(
        self,
        loader: DataLoader,
        begin_pass: Callable[[], None],
        end_pass: Callable[[], None],
    ) -> None:
        self._loader = loader
        self._begin_pass = begin_pass
        self._end_pass = end_pass
        self._batches: Optional[Iterator[Any]] = None
        self._ignored = 0
        # A pass may be a few iterations long, and starting workers takes as
        # long as many; the unpruned run starts them once.
        self._keeps_workers = (
            loader.num_workers > 0 and not loader.persistent_workers
        )
        if self._keeps_workers:
            keep_workers(loader, True)

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
        while True:
            if self._batches is not None:
                try:
                    return next(self._batches)
                except StopIteration:
                    self._end_pass()
            self._begin_pass()
            self._batches = iter(self._loader)

    def close(self) -> None:
        """Give the DataLoader back as it was."""
        if self._keeps_workers:
            self._batches = None
            keep_workers(self._loader, False)
