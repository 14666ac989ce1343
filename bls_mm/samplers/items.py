"""What a sampler yields, where that is not an index of the dataset."""

import operator
import zlib
from collections import Counter
from typing import Any, Callable, Dict, List

import torch

_ENTRY = 'train_dataloader.sampler.inner'


class Items:
    """Number the distinct items that a sampler yields.

    An item is anything that the dataset takes and that has a value to be
    known again by, such as the (video, frame) of mmdet's ``TrackImgSampler``.
    Each distinct item is a sample with a score of its own.

    Attributes:
        values (list): The items by their number.
        digest (int): Checksum of ``values``, the same on ranks that have the
            same items.
    """

    def __init__(self) -> None:
        self.values: List[Any] = []
        self.digest = 0
        self._numbers: Dict[Any, int] = {}

    def __len__(self) -> int:
        return len(self.values)

    def add(self, drawn: List[Any]) -> int:
        """Number items that were not there yet.

        Args:
            drawn (list): Items, in any number and order.

        Returns:
            int: How many distinct ones were new.

        Raises:
            TypeError: If an item has no value to be known again by.
        """
        new: Dict[Any, Any] = {}
        for item in drawn:
            key = key_of(item)
            if key not in self._numbers:
                new.setdefault(key, item)
        try:
            keys = sorted(new)
        except TypeError:
            keys = list(new)  # in the order in which they came
        for key in keys:
            self._numbers[key] = len(self.values)
            self.values.append(new[key])
        self.digest = zlib.crc32(repr(keys).encode(), self.digest)
        return len(keys)

    def number(self, item: Any) -> int:
        """The number of an item.

        Raises:
            KeyError: If it is not one of them.
            TypeError: If it has no value to be known again by.
        """
        return self._numbers[key_of(item)]

    def numbers(self, drawn: List[Any]) -> List[int]:
        return [self._numbers[key_of(item)] for item in drawn]

    def unknown(self, drawn: List[Any]) -> int:
        """How many distinct items of ``drawn`` have no number."""
        return len({key_of(item) for item in drawn} - self._numbers.keys())


def is_index(item: Any) -> bool:
    """Whether an item is an integer, of Python, NumPy or torch."""
    try:
        operator.index(item)
    except TypeError:
        return False
    return True


def key_of(item: Any) -> Any:
    """The value of an item, to compare it by.

    Args:
        item (object): What a sampler yields.

    Returns:
        object: Integers of all libraries as Python's, alone or in tuples.

    Raises:
        TypeError: If it has none.
    """
    if type(item) is int or isinstance(item, str):
        return item
    if isinstance(item, tuple):
        return tuple(map(key_of, item))
    if isinstance(item, torch.Tensor) and item.numel() == 1:
        return item.item()
    if is_index(item):
        return operator.index(item)
    kind = type(item)
    if isinstance(item, (list, torch.Tensor)) or kind.__hash__ is None:
        reason = 'which has no hash. Let it yield an index or a tuple'
        if isinstance(item, list) and all(map(is_index, item)):
            reason = (
                'as a batch sampler does. If it is one, it belongs into '
                '`train_dataloader.batch_sampler`'
            )
        raise TypeError(f'`{_ENTRY}` yields {item!r}, {reason}.')
    if kind.__hash__ is object.__hash__:
        raise TypeError(
            f'`{_ENTRY}` yields a {kind.__name__}, which equals only itself, '
            'so its sample is not known again in the next pass. Let it yield '
            'an index or a tuple.'
        )
    return item


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
        f'`train_dataloader.batch_sampler` yields {items[0]!r}, and which '
        'part of it is what BLSSampler yielded cannot be told. Let it yield '
        'that alone or as the only such number of a tuple.'
    )
