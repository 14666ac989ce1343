"""What a sampler yields, where that is not an index of the dataset."""

import operator
import zlib
from typing import Any, Dict, List

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
                'as a batch sampler does. If it is one, it belongs in '
                '`train_dataloader.batch_sampler`'
            )
        raise TypeError(f'`{_ENTRY}` yields {item!r}, {reason}.')
    if kind.__hash__ is object.__hash__:
        raise TypeError(
            f'`{_ENTRY}` yields a {kind.__name__}, which equals only itself, '
            'so its sample cannot be recognized in the next pass. Let it '
            'yield an index or a tuple.'
        )
    return item
