"""Distinct samples behind wrapped datasets, against walking one by one."""

from functools import reduce
from math import gcd

import pytest
import torch
from mmengine.dataset import (
    BaseDataset,
    ClassBalancedDataset,
    ConcatDataset,
    RepeatDataset,
)
from mmengine.runner import Runner
from mmengine.runner.runner import _SlicedDataset
from torch.utils.data import Subset

from bls_mm.datasets.sample_ids import (
    SampleIds,
    compact,
    first_indices,
    index_of,
    one_round,
    sample_ids,
)
from bls_mm.datasets.wrappers import find_source


class Samples(BaseDataset):
    """Samples that know their number; every fifth is of a rare class."""

    METAINFO = dict(classes=('common', 'rare'))

    def __init__(self, size):
        self.size = size
        super().__init__(pipeline=[], serialize_data=False)

    def load_data_list(self):
        return [dict(number=i) for i in range(self.size)]

    def get_cat_ids(self, index):
        return [int(index % 5 == 0)]


class MultiImage:
    """Like mmdet's MultiImageMixDataset: as long as what it wraps."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)


class Half:
    """A wrapper that nobody knows how to follow."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset) // 2


class Drawn(MultiImage):
    """Like mmdet3d's CBGSDataset: takes samples in numbers of its own."""

    indices = [3, 0, 3, 3, 1]

    def __len__(self):
        return len(self.indices)

    def _get_ori_dataset_idx(self, index):
        return self.indices[index]


class InTurn:
    """A wrapper of several datasets, which takes one of each in turn."""

    def __init__(self, *datasets):
        self.datasets = datasets

    def __len__(self):
        return 2 * min(map(len, self.datasets)) * len(self.datasets)

    def _get_ori_dataset_idx(self, index):
        part = index % len(self.datasets)
        return part, index // len(self.datasets) % len(self.datasets[part])


def wrap(kind, dataset, *args):
    """Wrap what mmengine's wrappers refuse: anything but a BaseDataset."""
    wrapper = kind(Samples(2), *args)
    wrapper.dataset = dataset
    wrapper._fully_initialized = False
    dataset.full_init()
    wrapper.full_init()
    return wrapper


def repeat(dataset, times):
    return wrap(RepeatDataset, dataset, times)


def balance(dataset):
    return wrap(ClassBalancedDataset, dataset, 0.9)


def concat(*parts):
    return torch.utils.data.ConcatDataset(parts)


DATASETS = {
    'plain': lambda: Samples(7),
    'one sample': lambda: Samples(1),
    'repeated': lambda: repeat(Samples(5), 3),
    'repeated once': lambda: repeat(Samples(5), 1),
    'balanced': lambda: balance(Samples(12)),
    'balanced twice': lambda: balance(balance(Samples(12))),
    'repeated, balanced': lambda: repeat(balance(Samples(6)), 2),
    'repeated twice': lambda: repeat(repeat(Samples(3), 2), 2),
    'joined': lambda: ConcatDataset([Samples(4), Samples(3)]),
    'joined, repeated': lambda: repeat(
        ConcatDataset([Samples(4), Samples(3)]), 3
    ),
    'repeated, joined': lambda: concat(
        Samples(2), repeat(Samples(3), 2), Samples(4), balance(Samples(5))
    ),
    'joined twice': lambda: concat(
        concat(repeat(Samples(3), 2), Samples(1)), repeat(Samples(2), 5)
    ),
    'subset': lambda: Subset(Samples(9), [7, 2, 5]),
    'subset, in order': lambda: Subset(Samples(9), range(4)),
    'subset, twice the same': lambda: Subset(Samples(9), [4, 4, 0]),
    'subset, from the end': lambda: Subset(Samples(9), [-1, 8, 0]),
    'subset, of repeated': lambda: Subset(
        repeat(Samples(4), 3), torch.tensor([11, 3, 7, 2, 6])
    ),
    'subset, empty, joined': lambda: concat(
        Subset(repeat(Samples(4), 2), []), Samples(2)
    ),
    'subset of a subset': lambda: Subset(
        Subset(Samples(9), [8, 6, 4, 2]), [3, 1]
    ),
    'sliced': lambda: _SlicedDataset(Samples(9), 4),
    'sliced, repeated': lambda: _SlicedDataset(repeat(Samples(3), 4), 5),
    'sliced, not at all': lambda: _SlicedDataset(repeat(Samples(3), 4), 12),
    'mixed': lambda: MultiImage(Samples(4)),
    'mixed, repeated': lambda: MultiImage(repeat(Samples(4), 3)),
    'repeated, mixed, sliced': lambda: _SlicedDataset(
        MultiImage(concat(repeat(Samples(4), 3), Samples(5))), 15
    ),
    'drawn': lambda: Drawn(Samples(4)),
    'drawn, of repeated': lambda: Drawn(repeat(Samples(2), 2)),
    'joined, drawn': lambda: concat(Samples(2), Drawn(Samples(5))),
    'in turn': lambda: InTurn(Samples(4), Samples(3)),
    'in turn, of repeated': lambda: InTurn(
        Samples(3), repeat(Samples(2), 2), Samples(5)
    ),
    'unknown wrapper': lambda: Half(repeat(Samples(4), 3)),
}
every_dataset = pytest.mark.parametrize('name', DATASETS)


def leaf(dataset, index):
    """The dataset at the bottom and the index in it, one step at a time."""
    if type(dataset) is _SlicedDataset:
        return leaf(vars(dataset)['_dataset'], index)
    if isinstance(dataset, Subset):
        inner = dataset.dataset
        return leaf(inner, int(dataset.indices[index]) % len(inner))
    if isinstance(dataset, InTurn):
        part, index = dataset._get_ori_dataset_idx(index)
        return leaf(dataset.datasets[part], index)
    if isinstance(dataset, Drawn):
        return leaf(dataset.dataset, dataset.indices[index])
    if isinstance(dataset, MultiImage):
        return leaf(dataset.dataset, index)
    if isinstance(dataset, ConcatDataset):
        part, index = dataset._get_ori_dataset_idx(index)
        return leaf(dataset.datasets[part], index)
    if isinstance(dataset, torch.utils.data.ConcatDataset):
        for part in dataset.datasets:
            if index < len(part):
                return leaf(part, index)
            index -= len(part)
    if hasattr(dataset, '_get_ori_dataset_idx'):
        return leaf(dataset.dataset, dataset._get_ori_dataset_idx(index))
    return id(dataset), index


def of_index(ids, size):
    return torch.arange(size) if ids.of_index is None else ids.of_index


@every_dataset
def test_ids_agree_with_a_walk_to_the_sample(name):
    dataset = DATASETS[name]()
    leaves = [leaf(dataset, index) for index in range(len(dataset))]
    ids = sample_ids(dataset)
    found = of_index(ids, len(dataset))
    assert found.dtype == torch.int64
    assert len(found) == len(dataset)
    assert ids.count == len(set(leaves))
    assert sorted(set(found.tolist())) == list(range(ids.count))
    # One id a leaf and one leaf an id.
    assert len(set(zip(found.tolist(), leaves))) == ids.count
    firsts = [found.tolist().index(i) for i in range(ids.count)]
    assert first_indices(ids).tolist() == firsts
    assert [index_of(ids, i) for i in range(ids.count)] == firsts
    sources = [find_source(dataset, index) for index in range(len(dataset))]
    assert [(id(each.dataset), each.index) for each in sources] == leaves


@pytest.mark.parametrize(
    'name',
    [
        'plain',
        'one sample',
        'repeated once',
        'joined',
        'subset, in order',
        'sliced',
        'mixed',
        'unknown wrapper',
    ],
)
def test_ids_cost_no_memory_when_the_index_is_the_id(name):
    dataset = DATASETS[name]()
    assert sample_ids(dataset) == SampleIds(len(dataset))


def test_ids_of_equal_index_are_the_same_item():
    dataset = repeat(concat_of_mmengine(4, 3), 3)
    ids = sample_ids(dataset).of_index
    items = {}
    for index, sample_id in enumerate(ids.tolist()):
        part = leaf(dataset, index)[0]
        item = part, dataset[index]['number']
        assert items.setdefault(sample_id, item) == item


def concat_of_mmengine(*sizes):
    return ConcatDataset([Samples(size) for size in sizes])


def test_ids_follow_num_batch_per_epoch():
    loader = Runner.build_dataloader(
        dict(
            dataset=repeat(Samples(5), 10),
            sampler=dict(type='DefaultSampler', shuffle=False),
            batch_size=3,
            num_batch_per_epoch=4,
        )
    )
    ids = sample_ids(loader.dataset)
    assert ids.count == 5
    assert ids.of_index.tolist() == [i % 5 for i in range(12)]


@pytest.mark.parametrize(
    'ids, count, expected',
    [
        ([5, 3, 5, 9], 3, [1, 0, 1, 2]),
        ([0, 1, 2], 3, [0, 1, 2]),
        ([7], 1, [0]),
    ],
)
def test_compact_numbers_ids_from_0_in_their_order(ids, count, expected):
    compacted = compact(torch.tensor(ids))
    assert compacted.count == count
    assert compacted.of_index.tolist() == expected


# One round


def reference_round(ids):
    """The first visits of each sample, in lowest terms, one by one."""
    visits = [ids.count(i) for i in sorted(set(ids))]
    rounds = reduce(gcd, visits)
    left = [count // rounds for count in visits]
    indices = []
    for index, sample_id in enumerate(ids):
        if left[sample_id]:
            left[sample_id] -= 1
            indices.append(index)
    return indices


@every_dataset
def test_one_round_keeps_the_ratio_of_visits(name):
    dataset = DATASETS[name]()
    ids = sample_ids(dataset)
    expected = reference_round(of_index(ids, len(dataset)).tolist())
    found = one_round(ids)
    if len(expected) == len(dataset):
        assert found is None
    else:
        assert found.dtype == torch.int64
        assert found.tolist() == expected


@pytest.mark.parametrize(
    'dataset, expected',
    [
        (lambda: repeat(Samples(16), 40000), list(range(16))),
        (
            lambda: concat(repeat(Samples(2), 2), repeat(Samples(2), 4)),
            [0, 1, 4, 5, 6, 7],
        ),
        (
            lambda: concat(repeat(Samples(2), 6), repeat(Samples(1), 9)),
            [0, 1, 2, 3, 12, 13, 14],
        ),
        (lambda: concat(Samples(2), repeat(Samples(2), 3)), None),
    ],
)
def test_one_round_of_known_datasets(dataset, expected):
    found = one_round(sample_ids(dataset()))
    assert (None if found is None else found.tolist()) == expected
