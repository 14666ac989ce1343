"""Batch samplers of one's own: what they may make of indices."""

import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import BatchSampler, Sampler
from toy import ToyDataset, hook_of, train

from bls_mm import BLSSampler
from bls_mm.samplers.batch_ids import BatchIds
from bls_mm.samplers.batch_lookup import BatchLookup

PRUNER = dict(type='InfoBatch', prune_ratio=0.5)


@DATASETS.register_module(force=True)
class AnyItem(ToyDataset):
    """Takes what the batch samplers below yield."""

    def __getitem__(self, item):
        while isinstance(item, (list, tuple)):
            item = next(i for i in item if not isinstance(i, (bool, str)))
        return super().__getitem__(int(item))


def with_batches(name):
    """Changes of a run that let a batch sampler of this name batch."""
    return dict(
        train_dataloader__batch_sampler=dict(type=name),
        train_dataloader__dataset=dict(type='AnyItem'),
    )


def register(cls):
    return DATA_SAMPLERS.register_module(module=cls, force=True)


class Wrapping(BatchSampler):
    """Yields batches of what ``wrap`` makes of each index."""

    def __init__(self, sampler, batch_size):
        super().__init__(sampler, batch_size, drop_last=False)

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            yield [self.wrap(index, number) for index in batch]


WRAPS = {
    'Flagged': lambda self, i, n: (True, i),
    'Sized': lambda self, i, n: (i, 320 + 32 * (n % 3)),
    'SizedFirst': lambda self, i, n: ('large', i),
    'NumpySized': lambda self, i, n: (np.int64(i), np.float32(0.5)),
    'Numpy': lambda self, i, n: np.int64(i),
    'Tensors': lambda self, i, n: torch.tensor(i),
    'InTensors': lambda self, i, n: torch.tensor([i]),
    'Nested': lambda self, i, n: [i],
    'Deep': lambda self, i, n: [(i, False)],
}


def runs(tmp_path, name, **changes):
    changes = {**with_batches(name), **changes}
    runner = train(
        tmp_path / name,
        train_dataloader__sampler=dict(type='BLSSampler', pruner=PRUNER),
        **changes,
    )
    return hook_of(runner), hook_of(runner, 'Recorder').numbers


@pytest.mark.parametrize('name', WRAPS)
def test_index_is_found_in_what_batches_are_made_of(tmp_path, name):
    register(type('Bare', (Wrapping,), dict(wrap=lambda self, i, n: i)))
    register(type(name, (Wrapping,), dict(wrap=WRAPS[name])))
    short = dict(train_cfg=dict(by_epoch=True, max_epochs=4))
    expected, indices = runs(tmp_path, 'Bare', **short)
    hook, numbers = runs(tmp_path, name, **short)
    assert numbers == indices
    assert torch.equal(hook.scores, expected.scores)
    assert hook.visited == expected.visited < hook.visited_unpruned


def reader(size=40):
    sampler = BLSSampler(range(size), seed=2)
    sampler.attach()
    sampler.begin_pass(0)
    return BatchIds(sampler), list(sampler)


def test_index_is_found_among_other_numbers_of_the_same_range():
    ids, order = reader()
    batch = [(7, index, 3 + index % 2) for index in order[8:12]]
    assert ids.find(batch, 8) == order[8:12]
    # Also where batches are regrouped, by numbers that repeat.
    ids, order = reader()
    assert ids.find([(7, order[9]), (7, order[2])]) == [
        order[9],
        order[2],
    ]


def test_two_indices_of_an_item_are_two_samples():
    ids, order = reader()
    pairs = list(zip(order[:4:2], order[1:4:2]))
    assert ids.find(pairs) == order[:4]
    assert ids.find([order[:3], order[3:4]]) == order[:4]


def test_part_of_an_item_of_an_inner_sampler_is_found():
    class Frames(Sampler):
        def __init__(self, dataset, seed):
            self.frames = [(i // 4, i % 4) for i in range(len(dataset))]

        def __len__(self):
            return len(self.frames)

        def __iter__(self):
            return iter(self.frames)

    sampler = BLSSampler(range(12), inner=dict(type=Frames), seed=1)
    sampler.attach()
    sampler.begin_pass(0)
    ids = BatchIds(sampler)
    assert ids.find([(0, 1), (2, 3)]) == [1, 11]
    assert ids.find([((0, 1), 320), ((2, 3), 320)]) == [1, 11]


@pytest.mark.parametrize(
    'batch',
    [
        [(3, 5), (4, 6)],  # either could be the index
        [(0.5, 0.1), (0.2, 0.3)],
        [{'index': 3}, {'index': 4}],
        ['a', 'b'],
        [(1, 2), 3],
        [(1, 2), (3, 4, 5)],
    ],
)
def test_batch_whose_index_cannot_be_told_is_refused(batch):
    ids, _ = reader()
    with pytest.raises(ValueError, match='batch_sampler.*not clear'):
        ids.find(batch)


def test_batch_whose_index_cannot_be_told_ends_the_run_at_once(tmp_path):
    wrap = dict(wrap=lambda self, i, n: {'index': i})
    register(type('InDict', (Wrapping,), wrap))
    seen = []

    @DATASETS.register_module(force=True)
    class FromDict(ToyDataset):
        def __getitem__(self, item):
            seen.append(item)
            return super().__getitem__(item['index'])

    with pytest.raises(ValueError, match=r"'index'.*not clear which part"):
        runs(
            tmp_path, 'InDict', train_dataloader__dataset=dict(type='FromDict')
        )
    assert len(seen) == 4


# Batches of other samples than the sampler yielded


@register
class Padding(Wrapping):
    """Fills up the last batch."""

    def __iter__(self):
        for batch in BatchSampler.__iter__(self):
            yield (batch * self.batch_size)[: self.batch_size]


@register
class Keeping(Wrapping):
    """Keeps what is too little for a batch for the next epoch."""

    rest = ()

    def __iter__(self):
        indices = [*self.rest, *self.sampler]
        whole = len(indices) // 4 * 4
        self.rest = indices[whole:]
        for start in range(0, whole, 4):
            yield indices[start : start + 4]


@register
class HardOnes(Wrapping):
    """Adds a sample of its own to each batch, from an epoch on."""

    begin = 0
    epoch = 0

    def __iter__(self):
        for batch in BatchSampler.__iter__(self):
            yield batch + ([0] if self.epoch >= self.begin else [])
        HardOnes.epoch += 1


@register
class OutOfRange(Wrapping):
    def __iter__(self):
        for batch in BatchSampler.__iter__(self):
            yield [*batch[:-1], -1]


def test_batch_that_is_filled_up_is_no_reason_to_stop(tmp_path):
    hook, numbers = runs(tmp_path, 'Padding')
    assert {len(batch) for batch in numbers} == {4}
    assert 0 <= sum(map(len, numbers)) - hook.visited < 4 * 8


def test_samples_kept_for_the_next_epoch_are_no_reason_to_stop(tmp_path):
    hook, numbers = runs(
        tmp_path, 'Keeping', train_dataloader__dataset__size=39
    )
    assert abs(sum(map(len, numbers)) - hook.visited) < 4 * 8


@pytest.mark.parametrize('begin', [0, 3])
def test_samples_added_to_batches_are_refused(tmp_path, monkeypatch, begin):
    monkeypatch.setattr(HardOnes, 'begin', begin)
    monkeypatch.setattr(HardOnes, 'epoch', 0)
    with pytest.raises(ValueError, match='HardOnes takes samples that its'):
        runs(tmp_path, 'HardOnes')
    # At the latest when the sample is left out for the first time.
    assert begin < HardOnes.epoch < 8


def test_samples_added_to_batches_are_trained_on_without_a_pruner(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(HardOnes, 'begin', 0)
    runner = train(
        tmp_path,
        train_dataloader__sampler=dict(type='BLSSampler', pruner=None),
        **with_batches('HardOnes'),
    )
    assert runner.iter == 80


def test_index_counted_from_the_end_is_refused(tmp_path):
    with pytest.raises(ValueError, match='OutOfRange yields -1, which is no'):
        runs(tmp_path, 'OutOfRange')


def test_sample_that_was_not_selected_weighs_one():
    sampler = BLSSampler(range(40), seed=2)
    sampler.attach()
    loader = torch.utils.data.DataLoader(
        range(40), batch_sampler=HardOnes(sampler, 4)
    )
    lookup = BatchLookup(loader, sampler, torch.device('cpu'))
    weights = torch.tensor([0.0, 2.0] * 20)
    sampler.begin_pass(1, weights > 0)
    lookup.begin_pass(weights, 0)
    for batch in loader:
        added = 0 in batch.tolist()
        weight = lookup.find(batch).weight
        number = len(batch) - added
        assert weight == (2 * number + added) / len(batch)
    lookup.tracker.close()
