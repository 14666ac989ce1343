"""Which samples are in what a batch sampler has yielded."""

import operator
from collections import Counter
from typing import Any, Callable, List

from .bls_sampler import BLSSampler


class BatchIds:
    """Turn what a batch sampler has yielded into sample ids.

    Args:
        sampler (BLSSampler): The sampler whose indices it gets.
    """

    def __init__(self, sampler: BLSSampler) -> None:
        self._sampler = sampler
        self._unwrapper = Unwrapper()

    def find(self, indices: List[Any], start: int = 0) -> List[int]:
        """The ids of the samples of a batch.

        Args:
            indices (list): Indices of a batch: integers of any library or
                items of ``inner``, or tuples or lists that hold them.
            start (int): Place of the batch in the pass if the batch sampler
                cut it into batches of this size. Defaults to 0.

        Returns:
            list[int]: Ids of its samples.

        Raises:
            ValueError: If it cannot be told which samples they are.
        """
        # Of plain integers the first and the last tell.
        plain = type(indices[0]) is type(indices[-1]) is int
        if not plain or self._sampler.inner_items is not None:
            indices = self._unwrapper.unwrap(
                indices, self._number_of, self._in_order, start
            )
        of_index = self._sampler.samples.of_index
        if of_index is None:
            return indices
        # Of a few numbers this is much faster than indexing an array.
        return list(map(of_index.numpy().data.__getitem__, indices))

    def _number_of(self, item: Any) -> int:
        """The number of an index or item.

        Raises:
            IndexError: If there is no such index.
            KeyError: If there is no such item.
            TypeError: If it is neither.
        """
        if self._sampler.inner_items is not None:
            return self._sampler.inner_items.number(item)
        if isinstance(item, bool):
            raise TypeError('A flag is no index.')
        return range(len(self._sampler.dataset))[operator.index(item)]

    def _in_order(self) -> List[int]:
        return self._sampler.indices_in_order().tolist()


class Unwrapper:
    """Find indices in what a batch sampler has made of them.

    Batch samplers yield (index, size) for training at several sizes, or
    lists of indices for datasets that mix images. Which part is the index
    shows from the indices that the sampler has yielded.
    """

    def __init__(self) -> None:
        self._columns: List[int] = []

    def unwrap(
        self,
        batch: List[Any],
        number: Callable[[Any], int],
        order: Callable[[], List[int]],
        start: int,
    ) -> List[int]:
        """Positions or indices of the samples of a batch.

        Args:
            batch (list): What the batch sampler yielded.
            number (callable): The number of one item of the sampler; raises
                KeyError, IndexError or TypeError of what is none.
            order (callable): Returns the numbers of what the sampler yields
                in this pass.
            start (int): Place of the batch in it, if it was only cut.

        Returns:
            list[int]: Their numbers.

        Raises:
            ValueError: If it cannot be told.
        """
        items = list(_flat(batch))
        numbers = _numbers(items, number)
        if numbers is not None:
            return numbers
        if not all(isinstance(item, tuple) for item in items):
            raise ValueError(_refusal(items))
        columns = [_numbers(column, number) for column in zip(*items)]
        if not self._columns:
            self._columns = _find_columns(columns, order(), start)
        chosen = [columns[i] for i in self._columns if i < len(columns)]
        if not chosen or any(column is None for column in chosen):
            raise ValueError(_refusal(items))
        return [n for row in zip(*chosen) for n in row]


def _flat(batch: Any) -> Any:
    for item in batch:
        shape: Any = getattr(item, 'shape', ())
        if isinstance(item, list) or shape:
            yield from _flat(item)
        else:
            yield item


def _numbers(items: Any, number: Any) -> Any:
    try:
        return [number(item) for item in items]
    except (KeyError, IndexError, TypeError):
        return None


def _find_columns(columns: Any, order: List[int], start: int) -> List[int]:
    """Which parts of tuples are what the sampler has yielded."""
    there = [i for i, column in enumerate(columns) if column is not None]
    for i in there:
        if columns[i] == order[start : start + len(columns[i])]:
            return [i]
    together = [n for row in zip(*(columns[i] for i in there)) for n in row]
    first = start * len(there)
    if together and together == order[first : first + len(together)]:
        return there
    yielded = Counter(order)
    there = [i for i in there if not Counter(columns[i]) - yielded]
    return there if len(there) == 1 else []


def _refusal(items: List[Any]) -> str:
    return (
        f'`train_dataloader.batch_sampler` yields {items[0]!r}, and it '
        'is not clear which part of it BLSSampler yielded. Let it yield that '
        'alone, or as the only such number of a tuple.'
    )
