"""The order of a sampler with a purpose of its own, to be filtered."""

import sys
from contextlib import ExitStack
from itertools import islice
from typing import Any, Dict, List, Optional, Sized
from unittest.mock import patch

import torch
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor

_ENTRY = 'train_dataloader.sampler.inner'
_REPLACED = ('BLSSampler', 'DefaultSampler', 'InfiniteSampler')


class InnerOrder:
    """What a sampler yields pass by pass, all ranks together.

    Args:
        cfg (dict): Config of the sampler.
        dataset (Sized): The dataset.
        seed (int): Seed of the sampler.

    Attributes:
        sampler_type (type): Class of the sampler.
        items (list, optional): What the sampler yields, where that is not
            an index of the dataset, such as the (video, frame) of mmdet's
            ``TrackImgSampler``; an order then holds positions in it.

    Raises:
        TypeError: If ``cfg`` is not the config of a sampler, or the sampler
            has no length or no ``set_epoch``.
        ValueError: If pruning has no meaning for the sampler, or it yields
            nothing or what is no index of the dataset.
    """

    def __init__(self, cfg: Dict[str, Any], dataset: Sized, seed: int) -> None:
        if not isinstance(cfg, dict) or 'type' not in cfg:
            raise TypeError(
                f'`{_ENTRY}` should be a dict with a `type`, but got {cfg!r}.'
            )
        self._cfg = cfg
        self._dataset = dataset
        self._seed = seed
        self.sampler_type = _sampler_type(cfg)
        self.items: Optional[List[Any]] = None
        self._positions: Dict[Any, int] = {}
        self._restart()
        for needed in ('__len__', 'set_epoch'):
            if not hasattr(self._sampler, needed):
                raise TypeError(
                    f'`{_ENTRY}` should have a `{needed}`, but got '
                    f'{self.sampler_type.__name__}, which has none.'
                )
        first = next(iter(self._sampler), None)
        if first is None:
            raise ValueError(f'`{_ENTRY}` should yield indices, but got none.')
        self._restart()  # a draw may have a lasting effect
        if not isinstance(first, int):
            self.items = sorted(set(self._sampler.indices))
            self._positions = {x: i for i, x in enumerate(self.items)}

    @property
    def size(self) -> int:
        """Number of indices in a pass."""
        return len(self._sampler)

    def order(self, epoch: int, seed: int) -> Tensor:
        """The indices of a pass, int64, shape (size,).

        Passes are drawn one after the other, since some samplers go on in
        the next pass where they were; an earlier one starts from the first.

        Args:
            epoch (int): Number of the pass.
            seed (int): Seed of the sampler.
        """
        if epoch < self._drawn or seed != self._seed:
            self._seed = seed
            self._restart()
        while self._drawn <= epoch:
            self._sampler.set_epoch(self._drawn)
            drawn = self._draw()
            self._drawn += 1
        order = torch.tensor(drawn)
        self._check_order(order)
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

    def _draw(self) -> List[int]:
        limit = 2 * self.size + 1
        drawn = list(islice(iter(self._sampler), limit))
        if len(drawn) == limit:
            raise ValueError(
                f'`{_ENTRY}`: {self.sampler_type.__name__} yields without '
                'end; BLSSampler filters samplers that make passes over the '
                'data.'
            )
        return self.positions(drawn)

    def positions(self, drawn: List[Any]) -> List[int]:
        """Positions in ``items`` of what was drawn; without items, itself."""
        if self.items is None:
            return drawn
        return [self._positions[item] for item in drawn]

    def _restart(self) -> None:
        cfg = {'type': self.sampler_type}
        cfg.update((k, v) for k, v in self._cfg.items() if k != 'type')
        defaults = dict(dataset=self._dataset, seed=self._seed)
        # Samplers ask for rank and world size when they are built. Told that
        # there is one rank, they yield the order of all ranks together.
        modules = {cls.__module__ for cls in self.sampler_type.__mro__}
        with ExitStack() as stack:
            for module in modules:
                if hasattr(sys.modules[module], 'get_dist_info'):
                    name = f'{module}.get_dist_info'
                    stack.enter_context(patch(name, lambda: (0, 1)))
            try:
                self._sampler = DATA_SAMPLERS.build(cfg, default_args=defaults)
            except (TypeError, ValueError) as error:
                raise type(error)(f'`{_ENTRY}`: {error}') from error
        self._drawn = 0


def _sampler_type(cfg: Dict[str, Any]) -> type:
    """Class of a sampler config.

    Raises:
        ValueError: If it is not known, or is to be refused.
    """
    cls = cfg['type']
    if isinstance(cls, str):
        with DATA_SAMPLERS.switch_scope_and_registry(cfg.get('_scope_')) as r:
            cls = r.get(cls)
    if cls is None:
        raise ValueError(f'`{_ENTRY}` has an unknown type {cfg["type"]!r}.')
    reason = None
    if cls.__name__ in _REPLACED:
        reason = 'BLSSampler itself replaces it; leave `inner` out'
    elif any(base.__name__ == 'MultiSourceSampler' for base in cls.__mro__):
        reason = (
            'it composes each batch of several sources in a fixed ratio, '
            'which leaving samples out would break'
        )
    if reason is not None:
        raise ValueError(
            f'`{_ENTRY}`: {cls.__name__} cannot be filtered: {reason}.'
        )
    return cls
