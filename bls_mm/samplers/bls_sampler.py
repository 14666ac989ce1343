"""The sampler that visits only the selected samples."""

from contextlib import contextmanager
from itertools import chain
from typing import (
    Any,
    Callable,
    Dict,
    Iterator,
    NamedTuple,
    Optional,
    Sized,
)

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.registry import DATA_SAMPLERS
from torch import Tensor
from torch.utils.data import IterableDataset, Sampler

from bls_mm.checks import check_bool, check_integer
from bls_mm.datasets.sample_ids import SampleIds, one_round, sample_ids
from bls_mm.pruners import Pruner
from bls_mm.registry import PRUNERS, build

from .inner_order import InnerOrder
from .items import Items
from .order import (
    deal,
    filter_order,
    make_order,
    padded,
    shorten_order,
)
from .two_samplers import become_both

# Indices handed over at a time: a Python list of all of them would need 36
# bytes a sample.
_CHUNK = 65536
_ENTRY = 'train_dataloader.sampler'
# What a pass consists of.
_OF_PASS = (
    'epoch',
    'carried',
    'left_over',
    'left_out',
    'selected',
    'total_size',
    '_indices',
)


class Sizes(NamedTuple):
    """Sizes of what a sampler yields.

    Attributes:
        samples (int): Number of indices of the dataset, or of distinct items.
        full_pass (int): Number of indices in an unpruned pass.
    """

    samples: int
    full_pass: int


@DATA_SAMPLERS.register_module()
class BLSSampler(Sampler):
    """Yield the indices that a pruner selected, in random order.

    Without a pruner it yields what ``mmengine.dataset.DefaultSampler`` yields
    for the same seed, epoch, rank and world size. With a pruner, it requires
    the ``BLSHook``, which selects samples at the start of each pass.

    Args:
        dataset (Sized): The dataset.
        pruner (dict or Pruner, optional): The pruning rule. None disables
            pruning. Defaults to InfoBatch with a prune ratio of 0.5.
        shuffle (bool): Whether to shuffle the indices. Defaults to True.
        seed (int, optional): Seed for shuffling and selection, the same on all
            ranks. Defaults to None, a random seed.
        round_up (bool): Whether to repeat samples so that all ranks get the
            same number. Defaults to True.
        inner (dict, optional): Config of a sampler whose indices are filtered,
            such as ``RepeatAugSampler``, instead of a random permutation. Its
            attributes and methods can be used through this one, if the names
            are free; a value that is set takes effect from the next pass on.
            ``shuffle`` has no effect. Defaults to None.

    Attributes:
        samples (SampleIds): The distinct samples behind the indices.
        carried (Tensor): Indices that the previous pass left over and the
            current pass begins with, int64, shape (C,).
        left_over (Tensor): Indices that the current pass leaves over for the
            next one, int64, shape (C,).
        left_out (Tensor): Samples that ``limit`` of :meth:`begin_pass` has
            left out of the current pass, int64, shape (L,).
        selected (int): Indices selected for the current pass.
        num_samples (int): Indices of this rank in the current pass.
        total_size (int): Indices of all ranks in the current pass, with
            padding, and without those left over.
        iterations (int): How often an iteration over it has begun.

    Raises:
        TypeError: If an argument is of the wrong type, the dataset has no
            length, or there are other arguments, such as those that the
            inherited config sets for another sampler.
        ValueError: If the pruner is unknown, one of its settings is out of
            range, or the dataset is empty or mmagic's ``SinGANDataset``.
    """

    def __init__(
        self,
        dataset: Sized,
        pruner: Any = dict(type='InfoBatch', prune_ratio=0.5),  # noqa: B006
        shuffle: bool = True,
        seed: Optional[int] = None,
        round_up: bool = True,
        inner: Optional[Dict[str, Any]] = None,
        **inherited: Any,
    ) -> None:
        if inherited:
            names = ', '.join(f'`{name}`' for name in inherited)
            raise TypeError(
                f'`{_ENTRY}`: BLSSampler does not accept '
                f'{names}, which the base config sets for another sampler. To '
                'filter that sampler, write `sampler=dict('
                "_delete_=True, type='BLSSampler', "
                'inner=_base_.train_dataloader.sampler)`.'
            )
        _check_dataset(dataset)
        check_bool(f'{_ENTRY}.shuffle', shuffle)
        check_bool(f'{_ENTRY}.round_up', round_up)
        self.rank, self.world_size = get_dist_info()
        self.dataset = dataset
        self.shuffle = shuffle
        if seed is None:
            seed = sync_random_seed()
        self.seed = check_integer(f'{_ENTRY}.seed', seed, -(2**62), 2**62)
        self.round_up = round_up
        self.epoch = 0
        self.pruner: Optional[Pruner] = None
        if pruner is not None:
            self.pruner = build(pruner, PRUNERS, Pruner, f'{_ENTRY}.pruner')
        # Set through `attach` and `begin_pass`.
        self.samples: SampleIds = SampleIds(len(dataset))
        self._inner: Optional[InnerOrder] = None
        if inner is not None:
            self._inner = InnerOrder(inner, dataset, self.seed)
        self.iterations = 0
        self._round: Optional[Tensor] = None
        self._batch_size: Optional[int] = None
        self._indices: Optional[Tensor] = None
        self.reset()
        if self._inner is not None:
            become_both(self, self._inner.sampler_type)

    def attach(self, batch_size: Optional[int] = None) -> None:
        """Let a hook control each pass.

        Args:
            batch_size (int, optional): If given, passes form one continuous
                stream, as an iteration-based run requires: batches of this
                size are always full, and the samples left over at the end of a
                pass, at most a batch per rank, begin the next one. Defaults to
                None.
        """
        self.reset()
        self._attached = True
        self._batch_size = batch_size
        if self.inner_items is not None:
            self.samples = SampleIds(len(self.inner_items))
        else:
            self.samples = sample_ids(self.dataset)
        if batch_size is not None and self._inner is None:
            self._round = one_round(self.samples)
        self.total_size = self._padded(self.full_size)

    def reset(self) -> None:
        """Start afresh, with all of the data and without a hook."""
        self._attached = False
        self._round = self._indices = self._batch_size = None
        nothing = torch.empty(0, dtype=torch.int64)
        self.carried = self.left_over = self.left_out = nothing
        self.selected = len(self.dataset)
        self.total_size = self._padded(self.full_size)

    @property
    def inner_items(self) -> Optional[Items]:
        """What it yields, if that is not indices but items of ``inner``."""
        return None if self._inner is None else self._inner.items

    @property
    def full_size(self) -> int:
        """Number of indices in an unpruned pass, without padding."""
        if self._inner is not None:
            return self._inner.size
        if self._round is not None:
            return len(self._round)
        return len(self.dataset)

    @property
    def sizes(self) -> Sizes:
        """What the plan of a run depends on."""
        samples = len(
            self.dataset if self.inner_items is None else self.inner_items
        )
        return Sizes(samples, self.full_size)

    def look_ahead(self, epoch: int) -> None:
        """Let ``full_size`` and ``samples`` be those of a pass to come.

        An inner sampler may yield more or fewer indices, or new items.

        Args:
            epoch (int): Number of the pass, from 0.
        """
        if self._inner is not None:
            self._inner.order(epoch, self.seed)
            self._inner.compare_ranks()

    def begin_pass(
        self,
        epoch: int,
        kept: Optional[Tensor] = None,
        max_batches: Optional[int] = None,
        limit: Optional[Callable[[int], int]] = None,
    ) -> None:
        """Fix the indices of a pass.

        The order depends on the arguments, the seed and what the previous
        pass left over.

        Args:
            epoch (int): Number of the pass, from 0.
            kept (Tensor, optional): Which samples to visit, bool, shape
                (number of distinct samples,), on the CPU. Defaults to all.
            max_batches (int, optional): If batches are always full: the
                most that the pass may have. Defaults to None.
            limit (callable, optional): Given the number of indices, how many
                may stay. Samples are left out at random until all may.
                Defaults to None, no limit.
        """
        self.epoch = epoch
        self.carried = self.left_over
        self.left_out = torch.empty(0, dtype=torch.int64)
        order = self._order(epoch)
        if self._inner is not None:
            self._inner.compare_ranks()
        if kept is not None:
            order = filter_order(order, kept, self.samples.of_index)
            if limit is not None:
                # The last ones of a sorted order would never be visited.
                is_random = self.shuffle and self._inner is None
                seed = None if is_random else self.seed + epoch
                order, self.left_out = shorten_order(
                    order, limit, self.samples, seed
                )
        self.selected = len(order)
        if self._batch_size is None:
            self.total_size = self._padded(len(order))
            self._indices = self._of_rank(order)
            return
        order = torch.cat([self.carried.to(order.dtype), order])
        full = self._batch_size * self.world_size
        batches = len(order) // full
        if max_batches is not None:
            batches = min(batches, max_batches)
        self.total_size = batches * full
        self._indices = order[self.rank : self.total_size : self.world_size]
        # Never more than two batches, unless a run is resumed in mid-pass
        # from a checkpoint that knows nothing of passes.
        self.left_over = order[self.total_size :][: 2 * full].long()

    @property
    def pass_state(self) -> Dict[str, Any]:
        """What :meth:`begin_pass` has fixed."""
        return {name: vars(self)[name] for name in _OF_PASS}

    @contextmanager
    def during(self, pass_state: Dict[str, Any]) -> Iterator[None]:
        """Be in another pass for a while.

        Args:
            pass_state (dict): ``pass_state`` of that pass.
        """
        held = self.pass_state
        self.go_to_pass(pass_state)
        try:
            yield
        finally:
            self.go_to_pass(held)

    def go_to_pass(self, pass_state: Dict[str, Any]) -> None:
        """Go to a pass that :meth:`begin_pass` has fixed before.

        Args:
            pass_state (dict): ``pass_state`` of that pass.
        """
        vars(self).update(pass_state)

    @property
    def may_change(self) -> bool:
        """Whether a pass may change until it begins.

        An inner sampler goes by what hooks set up to then.
        """
        return self._inner is not None

    def state_dict(self) -> Dict[str, Any]:
        """What decides on the order of the current pass.

        Returns:
            dict: ``seed`` (int), ``world_size`` (int) and ``carried``
            (Tensor), int64, shape (C,), a copy.
        """
        return dict(
            seed=self.seed,
            world_size=self.world_size,
            carried=self.carried.clone(),
        )

    def load_state_dict(self, state: Dict[str, Any]) -> None:
        """Let the next pass begin as the one that was saved.

        Args:
            state (dict): What :meth:`state_dict` returned. ``world_size`` is
                left to the caller to compare.
        """
        self.seed = state['seed']
        self.left_over = state['carried'].cpu()

    def _order(self, epoch: int) -> Tensor:
        """All indices of a pass in their order, the same on all ranks."""
        if self._inner is not None:
            return self._inner.order(epoch, self.seed)
        seed = self.seed + epoch if self.shuffle else None
        order = make_order(self.full_size, seed)
        return order if self._round is None else self._round[order.long()]

    def _of_rank(self, order: Tensor) -> Tensor:
        return deal(order, self.rank, self.world_size, self.round_up)

    def _padded(self, size: int) -> int:
        return padded(size, self.world_size, self.round_up)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the pass, unless a hook is in charge of it.

        Args:
            epoch (int): Number of the epoch.

        Raises:
            RuntimeError: If there is a pruner but no hook.
        """
        if self._attached:
            return
        if self.pruner is not None:
            raise RuntimeError(
                '`train_dataloader.sampler` is a BLSSampler with a pruner, '
                'but no BLSHook controls it. If the run '
                "has none, add `custom_hooks = [dict(type='BLSHook')]`, or "
                'set `train_dataloader.sampler.pruner=None`. If it has one, '
                'the run does not train on this DataLoader, or is over.'
            )
        self.epoch = epoch
        self._indices = None

    def ids_in_order(self) -> Tensor:
        """Sample ids of all indices of this rank in the current pass.

        Returns:
            Tensor: Int32 or int64, shape (len(self),), on the CPU.
        """
        of_index, indices = self.samples.of_index, self.indices_in_order()
        return indices if of_index is None else of_index[indices.long()]

    def indices_in_order(self) -> Tensor:
        """All indices of this rank in the current pass, or item numbers."""
        if self._indices is None:
            self._indices = self._of_rank(self._order(self.epoch))
        return self._indices

    def __iter__(self) -> Iterator[int]:
        """Iterate over the indices of this rank."""
        self.iterations += 1
        # Not a generator function: one more resumption an index takes time.
        chunks = self.indices_in_order().split(_CHUNK)
        indices = chain.from_iterable(chunk.tolist() for chunk in chunks)
        if self.inner_items is None:
            return indices
        return map(self.inner_items.values.__getitem__, indices)

    def __len__(self) -> int:
        """Number of indices of this rank in the current pass."""
        # Asked for several times an iteration, by MMEngine's hooks.
        if self.world_size == 1:
            return self.total_size
        return len(range(self.rank, self.total_size, self.world_size))

    @property
    def num_samples(self) -> int:
        return len(self)


def _check_dataset(dataset: Any) -> None:
    entry = '`train_dataloader.dataset`'
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, '__len__'):
        raise TypeError(
            f'{entry} should have a length and samples with an index, but got '
            f'{type(dataset).__name__}, which BLSSampler cannot prune.'
        )
    if not len(dataset):
        raise ValueError(f'{entry} is empty: nothing to sample.')
    if type(dataset).__name__ == 'SinGANDataset':
        raise ValueError(
            f'{entry} is a SinGANDataset, which has one image for all of its '
            'indices: nothing to choose from.'
        )
