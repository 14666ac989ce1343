"""The order of a sampler with a purpose of its own, to be filtered."""

import operator
import zlib
from itertools import islice
from typing import Any, Dict, List, Optional, Sized

import torch
from mmengine.dist import all_gather
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor

from .items import Items, is_index
from .one_rank import one_rank

_ENTRY = 'train_dataloader.sampler.inner'
_REPLACED = ('BLSSampler', 'DefaultSampler', 'InfiniteSampler')


class InnerOrder:
    """What a sampler yields pass by pass, all ranks together.

    Args:
        cfg (dict): Config of the sampler.
        dataset (Sized): The dataset.
        seed (int): Seed of the sampler, and of what it draws from global
            random number generators.

    Attributes:
        sampler (Sampler): The sampler.
        items (Items, optional): What the sampler yields, where that is not
            an index of the dataset, such as the (video, frame) of mmdet's
            ``TrackImgSampler``; an order then holds their numbers.

    Raises:
        TypeError: If ``cfg`` is not the config of a sampler, or the sampler
            has no length or yields what cannot be known again.
        ValueError: If pruning has no meaning for the sampler, or it yields
            nothing or what is no index of the dataset.
    """

    def __init__(self, cfg: Dict[str, Any], dataset: Sized, seed: int) -> None:
        if not isinstance(cfg, dict) or 'type' not in cfg:
            raise TypeError(
                f'`{_ENTRY}` should be a dict with a `type`, but got {cfg!r}. '
                'BLSSampler builds the sampler itself: as if there was one '
                'rank, and anew when a run is resumed.'
            )
        self._cfg = cfg
        self._dataset = dataset
        self._seed = seed
        self._type = _sampler_type(cfg)
        self._set: Dict[str, Any] = {}
        self.sampler: Any = None
        self._drawn = 0
        self._latest: Optional[Tensor] = None
        self._compared: Optional[Tensor] = None
        self.items: Optional[Items] = None
        self._restart()
        if not hasattr(self.sampler, '__len__'):
            raise TypeError(
                f'`{_ENTRY}` should have a `__len__`, but got {self._name}, '
                'which has none.'
            )
        self.items = self._find_items()

    @property
    def sampler_type(self) -> type:
        """Class of the sampler."""
        return type(self.sampler)

    @property
    def _name(self) -> str:
        return self.sampler_type.__name__

    @property
    def size(self) -> int:
        """Number of indices in the latest pass, or in the first to come."""
        if self._latest is not None:
            return len(self._latest)
        with self._alone():
            return len(self.sampler)

    def set(self, name: str, value: Any) -> None:
        """Set an attribute of the sampler, from the next pass on."""
        setattr(self.sampler, name, value)
        self._set[name] = value

    def order(self, epoch: int, seed: int) -> Tensor:
        """The indices of a pass, int64, shape (size,).

        Passes are drawn one after the other, since some samplers go on in
        the next pass where they were; an earlier one starts from the first.

        Args:
            epoch (int): Number of the pass.
            seed (int): Seed of the sampler.

        Raises:
            TypeError: See above.
            ValueError: See above, or if nearly all items are others than in
                the passes before.
        """
        latest = self._latest
        if latest is not None and (epoch, seed) == (
            self._drawn - 1,
            self._seed,
        ):
            return latest
        if epoch < self._drawn or seed != self._seed:
            self._seed = seed
            self._restart()
        while self._drawn <= epoch:
            with self._alone():
                if hasattr(self.sampler, 'set_epoch'):
                    self.sampler.set_epoch(self._drawn)
                drawn = self._draw()
            order = torch.tensor(self._numbers(drawn))
            self._check_order(order)
            self._drawn += 1
        self._latest = order
        return order

    def _check_order(self, order: Tensor) -> None:
        size = len(self._dataset if self.items is None else self.items)
        wrong = order[(order < 0) | (order >= size)]
        if len(wrong) or not len(order):
            got = int(wrong[0]) if len(wrong) else 'none'
            raise ValueError(
                f'`{_ENTRY}` should yield indices in [0, {size}), but got '
                f'{got}.'
            )

    def compare_ranks(self) -> None:
        """Compare the latest order with that of the other ranks, once.

        To be called on all ranks.

        Raises:
            RuntimeError: If they have drawn different orders.
        """
        order = self._latest
        if order is None or order is self._compared:
            return
        self._compared = order
        start = 0 if self.items is None else self.items.digest
        digest = zlib.crc32(order.numpy().tobytes(), start)
        mine = torch.tensor([digest, len(order)])
        for other in all_gather(mine):
            if not torch.equal(other.cpu(), mine):
                raise RuntimeError(
                    f'`{_ENTRY}`: {self._name} yields different indices on '
                    'different ranks, even if told that there is one rank. '
                    'BLSSampler deals out what it yields to the ranks, so it '
                    'should yield all of it, the same everywhere: without '
                    'sharding, and with random numbers that depend on `seed` '
                    'and epoch alone.'
                )

    def _draw(self) -> List[Any]:
        limit = 2 * max(len(self.sampler), len(self._dataset)) + 1
        drawn = list(islice(iter(self.sampler), limit))
        if len(drawn) == limit and limit > 2 * len(self.sampler):
            raise ValueError(
                f'`{_ENTRY}`: {self._name} never ends, but BLSSampler can '
                'only filter samplers that make passes over the data.'
            )
        return drawn

    def _numbers(self, drawn: List[Any]) -> List[int]:
        """Indices of the dataset, or numbers of items."""
        if self.items is None:
            try:
                return list(map(operator.index, drawn))
            except TypeError:
                other = next(item for item in drawn if not is_index(item))
                raise TypeError(
                    f'`{_ENTRY}` should yield items of one kind, but '
                    f'{self._name} yields {drawn[0]!r} and {other!r}.'
                ) from None
        known = len(self.items)
        new = self.items.add(drawn)
        if known and new > known / 2:
            raise ValueError(
                f'`{_ENTRY}`: {self._name} yields {new} items in pass '
                f'{self._drawn + 1} that it did not yield before, such as '
                f'{self.items.values[-1]!r}. A score belongs to one distinct '
                'item and is of use only if that comes again. Let the '
                'sampler yield what is the same in each pass, and draw the '
                'rest in the dataset or in the batch sampler.'
            )
        return self.items.numbers(drawn)

    def _find_items(self) -> Optional[Items]:
        with self._alone():
            first = next(iter(self.sampler), None)
            if first is None:
                raise ValueError(
                    f'`{_ENTRY}` should yield indices, but got none.'
                )
            items = None
            if not is_index(first):
                items = Items()
                items.add(self._known_items(first) or self._draw())
        self._restart()  # a draw may have a lasting effect
        return items

    def _known_items(self, first: Any) -> List[Any]:
        """All items at once, from a sampler that has a list of them."""
        indices = getattr(self.sampler, 'indices', None)
        return (
            indices if isinstance(indices, list) and first in indices else []
        )

    def _alone(self) -> Any:
        return one_rank(self._type, self._seed + self._drawn)

    def _restart(self) -> None:
        self._drawn = 0
        self._latest = None
        cfg = {'type': self._type}
        cfg.update((k, v) for k, v in self._cfg.items() if k != 'type')
        if cfg.get('num_replicas') is not None:
            cfg.update(num_replicas=1, rank=0)
        if cfg.get('seed', 0) is None:
            del cfg['seed']  # the ranks would not have the same
        defaults = dict(dataset=self._dataset, seed=self._seed)
        with self._alone():
            try:
                self.sampler = DATA_SAMPLERS.build(cfg, default_args=defaults)
            except (TypeError, ValueError) as error:
                raise type(error)(f'`{_ENTRY}`: {error}') from error
        for name, value in self._set.items():
            setattr(self.sampler, name, value)


def _sampler_type(cfg: Dict[str, Any]) -> Any:
    """Class of a sampler config, or a function that builds one.

    Raises:
        ValueError: If it is not known, or is to be refused.
    """
    cls = cfg['type']
    if isinstance(cls, str):
        with DATA_SAMPLERS.switch_scope_and_registry(cfg.get('_scope_')) as r:
            cls = r.get(cls)
    if cls is None:
        raise ValueError(f'`{_ENTRY}` has an unknown type {cfg["type"]!r}.')
    bases = [base.__name__ for base in getattr(cls, '__mro__', ())]
    reason = None
    if cls.__name__ in _REPLACED or 'BLSSampler' in bases:
        reason = 'BLSSampler itself replaces it; leave `inner` out'
    elif 'MultiSourceSampler' in bases:
        reason = (
            'it composes each batch from several sources in a fixed ratio, '
            'which pruning would break'
        )
    if reason is not None:
        raise ValueError(
            f'`{_ENTRY}`: {cls.__name__} cannot be filtered: {reason}.'
        )
    return cls
