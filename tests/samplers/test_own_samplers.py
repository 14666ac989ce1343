"""Samplers of one's own as ``inner``: what they may yield and what not."""

import copy
import os
import pickle
import random
from itertools import repeat
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DistributedSampler, Sampler, WeightedRandomSampler
from toy import ToyDataset, hook_of, make_runner, record_scored, train

from bls_mm import BLSSampler
from bls_mm.samplers.batch_ids import BatchIds

SIZE = 12


class Shuffled(Sampler):
    """A permutation for each epoch; ``make`` turns it into items."""

    def __init__(self, dataset, seed=0, make=list, factor=1):
        self.dataset, self.seed, self.make = dataset, seed, make
        self.factor, self.epoch, self.weights = factor, 0, None

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return len(self.dataset)

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self), generator=generator)
        return iter(self.make(order))

    def reverse(self):
        self.make = lambda order: order.flip(0).tolist()


class View(NamedTuple):
    index: int
    view: int


class Nameless:
    """An item that equals only itself."""


MAKERS = {
    'ints': lambda order: order.tolist(),
    'numpy': lambda order: order.numpy(),
    'tensors': lambda order: order,
    'mixed integers': lambda order: [
        np.int32(i) if i % 2 else int(i) for i in order
    ],
}


def make(make='ints', seed=3, size=SIZE, **inner):
    inner.setdefault('type', Shuffled)
    if inner['type'] is Shuffled:
        inner['make'] = MAKERS.get(make, make)
    made = BLSSampler(ToyDataset(size), inner=inner, seed=seed)
    made.attach()
    return made


def visit(made, epoch, **kept):
    made.begin_pass(epoch, **kept)
    return list(made)


# What is yielded


@pytest.mark.parametrize('name', MAKERS)
def test_integers_of_any_library_are_indices(name):
    kept = torch.arange(SIZE) % 3 > 0
    made, ints = make(name), make('ints')
    for epoch in range(3):
        order = visit(made, epoch, kept=kept)
        assert order == visit(ints, epoch, kept=kept)
        assert {type(index) for index in order} == {int}


@pytest.mark.parametrize(
    'item',
    [
        lambda i: (int(i), int(i) % 2),
        lambda i: (i, torch.tensor(0)),
        lambda i: (np.int64(i), 0.5),
        lambda i: View(int(i), 1),
        lambda i: (int(i), ('left', np.int8(1))),
        lambda i: f'image_{i:02}',
    ],
)
def test_every_distinct_item_is_a_sample(item):
    made = make(lambda order: [item(i) for i in order])
    assert made.samples.count == SIZE
    first = visit(made, 0)
    ids = BatchIds(made).find(first)
    assert sorted(ids) == list(range(SIZE))
    kept = torch.arange(SIZE) < 5
    again = visit(made, 1, kept=kept)
    assert sorted(BatchIds(made).find(again)) == list(range(5))
    assert {type(x) for x in again} == {type(item(torch.tensor(3)))}


def test_item_drawn_for_the_first_time_in_a_later_pass_is_a_new_sample():
    class Growing(Shuffled):
        def __iter__(self):
            return iter([(i, 0) for i in range(8 + 2 * self.epoch)])

    made = make(type=Growing)
    assert made.samples.count == 8
    visit(made, 0)
    made.look_ahead(1)
    assert made.sizes == (10, 10)
    made.attach()
    assert made.samples.count == 10
    made.begin_pass(1)
    assert made.ids_in_order().tolist() == list(range(10))


def test_items_that_never_come_again_are_refused():
    class Scaled(Shuffled):
        def __iter__(self):
            rng = random.Random(self.epoch)
            return iter([(i, rng.random()) for i in range(SIZE)])

    made = make(type=Scaled)
    visit(made, 0)
    with pytest.raises(ValueError, match='in pass 2 that it did not yield'):
        visit(made, 1)


@pytest.mark.parametrize(
    'made, reason',
    [
        (lambda order: order.view(-1, 2).tolist(), 'as a batch sampler does'),
        (lambda order: [['a', 'b']], 'which has no hash'),
        (lambda order: [{3: 4}], 'which has no hash'),
        (lambda order: [Nameless()], 'which equals only itself'),
        (lambda order: [3, (4, 5)], r'one kind, but .* 3 and \(4, 5\)'),
    ],
)
def test_item_without_a_value_is_refused_for_that_reason(made, reason):
    with pytest.raises(TypeError, match=f'sampler.inner.*{reason}'):
        visit(make(made), 0)


class Endless(Shuffled):
    def __iter__(self):
        return repeat(0)


class WithoutLength(Shuffled):
    __len__ = property()


def yielding(*indices):
    return dict(type=Shuffled, make=lambda order: indices)


@pytest.mark.parametrize(
    'inner, reason',
    [
        (dict(type='InfiniteSampler'), 'leave `inner` out'),
        (dict(type='DefaultSampler'), 'leave `inner` out'),
        (dict(type='BLSSampler'), 'BLSSampler cannot be filtered'),
        (dict(type='NoSuchSampler'), "unknown type 'NoSuchSampler'"),
        ('RepeatAugSampler', "dict with a `type`, but got 'RepeatAug"),
        (Shuffled(ToyDataset(4)), 'dict with a `type`.*builds the samp'),
        (dict(type=Shuffled, repeats=3), "'repeats'"),
        (yielding(), 'should yield indices, but got none'),
        (yielding(3, SIZE), rf'in \[0, {SIZE}\), but got {SIZE}'),
        (yielding(3, -1), rf'in \[0, {SIZE}\), but got -1'),
        (dict(type=Endless), 'Endless never ends'),
        (dict(type=WithoutLength), 'should have a `__len__`'),
    ],
)
def test_inner_is_refused_with_a_reason(inner, reason):
    entry = '`train_dataloader.sampler.inner`'
    with pytest.raises((TypeError, ValueError), match=f'{entry}.*{reason}'):
        made = BLSSampler(ToyDataset(SIZE), inner=inner)
        made.attach()
        visit(made, 0)


def test_function_may_build_the_sampler():
    def build(dataset, seed):
        return Shuffled(dataset, seed, MAKERS['ints'])

    assert visit(make(type=build), 2) == visit(make('ints'), 2)


# Global random numbers, no epoch


class ByWeight(WeightedRandomSampler):
    def __init__(self, dataset, seed=0):
        super().__init__(torch.arange(1, len(dataset) + 1.0), len(dataset))


class ByAll(Shuffled):
    """Draws from all of the global generators."""

    def __init__(self, dataset, seed=None):
        super().__init__(dataset, seed=np.random.randint(99))  # noqa: NPY002

    def __iter__(self):
        order = np.random.permutation(len(self)).tolist()  # noqa: NPY002
        random.shuffle(order)
        return iter(order[: 1 + int(torch.randint(len(self), ()))])


@pytest.mark.parametrize('kind', [ByWeight, ByAll])
def test_global_random_numbers_depend_on_seed_and_pass_alone(kind):
    generator, python = torch.get_rng_state(), random.getstate()
    legacy = np.random.get_state()[1].tolist()  # noqa: NPY002
    made = make(type=kind)
    orders = [visit(made, epoch) for epoch in range(4)]
    assert torch.equal(torch.get_rng_state(), generator)
    assert np.random.get_state()[1].tolist() == legacy  # noqa: NPY002
    assert random.getstate() == python
    assert len({tuple(order) for order in orders}) == 4
    torch.rand(1)
    assert visit(make(type=kind), 3) == orders[3]  # as a resumed run asks
    assert visit(made, 1) == orders[1]
    assert visit(make(type=kind, seed=4), 3) != orders[3]


# Sharding


class Sharded(DistributedSampler):
    def __init__(self, dataset, seed=0):
        super().__init__(dataset, seed=seed)


def test_sharding_sampler_yields_everything(monkeypatch):
    monkeypatch.setattr(torch.distributed, 'get_rank', lambda: 1)
    monkeypatch.setattr(torch.distributed, 'get_world_size', lambda: 2)
    monkeypatch.setenv('RANK', '1')
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert sorted(visit(make(type=Sharded), 0)) == list(range(SIZE))
    assert torch.distributed.get_rank() == 1
    assert os.environ['WORLD_SIZE'] == '2'


def test_number_of_ranks_in_the_config_is_that_of_one():
    settings = dict(type=DistributedSampler, num_replicas=4, rank=3)
    made = BLSSampler(ToyDataset(SIZE), inner=settings, seed=1)
    assert sorted(made._inner.order(0, 1).tolist()) == list(range(SIZE))


# What people reach


def test_attribute_set_by_a_hook_reaches_the_inner_sampler():
    made = make()
    first = visit(made, 0)
    made.make = lambda order: order[:5].tolist()
    assert list(made) == first  # the pass goes on as it began
    assert len(visit(made, 1)) == 5
    assert len(visit(made, 0)) == 5  # also when the order begins anew
    assert made.make(torch.arange(9)) == [0, 1, 2, 3, 4]


def test_method_called_by_a_hook_is_the_inner_samplers():
    made, plain = make(), make()
    made.reverse()
    assert visit(made, 0) == visit(plain, 0)[::-1]


def test_class_attribute_and_type_are_those_of_the_inner_sampler():
    class Tuned(Shuffled):
        temperature = 1.0

    made = make(type=Tuned)
    assert isinstance(made, Tuned)
    assert made.temperature == 1.0
    made.temperature = 2.0
    assert made._inner.sampler.temperature == made.temperature == 2.0
    assert made.factor == 1
    with pytest.raises(AttributeError, match='no_such_name'):
        made.no_such_name  # noqa: B018


def test_size_set_by_a_hook_reaches_the_inner_sampler():
    made = make(type=ByWeight)
    made.num_samples = 7
    assert len(visit(made, 0)) == made.num_samples == 7


def test_own_names_stay_the_outer_samplers():
    made = make()
    made.seed = 9
    made.begin_pass(2)
    assert made.epoch == 2
    assert made.total_size == SIZE
    assert visit(made, 2) == visit(make(seed=9), 2)


class Renamed(BLSSampler):
    """A sampler of one's own that filters another one."""


def test_subclass_stays_one_with_an_inner_sampler():
    made = Renamed(ToyDataset(SIZE), inner=dict(type=Shuffled))
    assert isinstance(made, Renamed)
    assert isinstance(made, Shuffled)
    assert type(made).__name__ == 'Renamed'


@pytest.mark.parametrize('copied', [copy.deepcopy, None])
@pytest.mark.parametrize('inner', [None, Shuffled])
def test_copy_goes_on_as_the_sampler_does(inner, copied):
    made = BLSSampler(ToyDataset(SIZE), seed=1, pruner=None)
    if inner is not None:
        made = BLSSampler(ToyDataset(SIZE), seed=1, inner=dict(type=ByWeight))
    made.attach()
    made.begin_pass(1)
    twin = copied(made) if copied else pickle.loads(pickle.dumps(made))
    assert type(twin) is type(made)
    assert list(twin) == list(made)
    made.begin_pass(2)
    twin.begin_pass(2)
    assert list(twin) == list(made)
    assert isinstance(twin, ByWeight) == (inner is not None)


# In a run


@DATA_SAMPLERS.register_module(force=True)
class Curriculum(Shuffled):
    """Easier samples first: ten more an epoch."""

    def __len__(self):
        return min(40, 10 * (1 + self.epoch))


def lengths(runner):
    recorder = hook_of(runner, 'Recorder')
    counted = dict.fromkeys(range(runner.max_epochs), 0)
    for epoch, numbers in zip(recorder.epochs, recorder.numbers):
        counted[epoch] += len(numbers)
    return list(counted.values())


def sampler_of(pruner, **inner):
    return dict(type='BLSSampler', pruner=pruner, inner=inner)


def test_sampler_that_grows_trains_every_epoch_in_its_length(tmp_path):
    runner = train(
        tmp_path, train_dataloader__sampler=sampler_of(None, type=Curriculum)
    )
    assert lengths(runner) == [10, 20, 30, 40, 40, 40, 40, 40]
    # In batches of four, the last of an epoch smaller.
    assert runner.iter == runner.max_iters == 3 + 5 + 8 + 5 * 10
    assert hook_of(runner).planner.saved == 0


def test_sampler_that_grows_is_pruned_by_its_present_length(tmp_path):
    pruner = dict(type='RandomPrune', prune_ratio=0.5)
    runner = train(
        tmp_path, train_dataloader__sampler=sampler_of(pruner, type=Curriculum)
    )
    trained = lengths(runner)
    assert trained[0] == 10
    assert trained[-1] == 40
    assert all(0 < n < 30 for n in trained[1:7])
    hook = hook_of(runner)
    assert hook.visited == sum(trained)
    assert hook.visited_unpruned == pytest.approx(260, abs=4)
    assert runner.iter == runner.max_iters


def test_iterations_of_a_sampler_that_grows_are_all_made(tmp_path):
    runner = train(
        tmp_path,
        train_dataloader__sampler=sampler_of(None, type=Curriculum),
        train_cfg=dict(by_epoch=False, max_iters=25),
    )
    numbers = sum(hook_of(runner, 'Recorder').numbers, [])
    assert runner.iter == 25
    assert len(numbers) == 100


def test_resumed_run_draws_the_same_from_global_generators(tmp_path):
    pruner = dict(type='InfoBatch', prune_ratio=0.5)
    changes = dict(
        train_dataloader__sampler=sampler_of(pruner, type=ByWeight),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=13, by_epoch=False)
        ),
    )
    whole = train(tmp_path / 'whole', **changes)
    resumed = make_runner(
        tmp_path / 'resumed',
        resume=True,
        load_from=str(tmp_path / 'whole' / 'iter_13.pth'),
        **changes,
    )
    resumed.train()
    assert resumed.iter == whole.iter
    expected = hook_of(whole, 'Recorder').numbers[13:]
    assert hook_of(resumed, 'Recorder').numbers == expected
    assert torch.equal(hook_of(resumed).scores, hook_of(whole).scores)


def test_loader_that_is_built_already_may_hold_an_inner_sampler(tmp_path):
    dataset = ToyDataset(40)
    inner = dict(type=Shuffled, make=MAKERS['numpy'])
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=4, sampler=BLSSampler(dataset, inner=inner)
    )
    runner = train(tmp_path, train_dataloader=loader)
    assert hook_of(runner).visited < hook_of(runner).visited_unpruned == 320


def test_hook_that_sets_an_attribute_is_heard_in_the_next_epoch(tmp_path):
    class Halve(Hook):
        def after_train_epoch(self, runner):
            if runner.epoch == 2:
                half = lambda order: order[:20].tolist()  # noqa: E731
                runner.train_dataloader.sampler.make = half

    DATA_SAMPLERS.register_module(module=Shuffled, force=True)
    make = MAKERS['ints']
    runner = make_runner(
        tmp_path,
        train_dataloader__sampler=sampler_of(None, type=Shuffled, make=make),
    )
    runner.register_hook(Halve())
    runner.train()
    assert lengths(runner) == [40] * 3 + [20] * 5
    hook = hook_of(runner)
    assert hook.visited == hook.visited_unpruned == 220
    assert runner.iter == runner.max_iters == 55


@DATASETS.register_module(force=True)
class Views(ToyDataset):
    """Two views of each point."""

    def __getitem__(self, item):
        index, view = item
        sample = super().__getitem__(index)
        return dict(sample, number=sample['number'] * 2 + view)


@DATA_SAMPLERS.register_module(force=True)
class SomeViews(Shuffled):
    """Views by chance, so that some are drawn late."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        numbers = torch.randint(80, (80,), generator=generator).tolist()
        return iter([divmod(number, 2) for number in numbers])

    def __len__(self):
        return 80


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_items_drawn_late_are_scored_like_the_others(tmp_path, loop):
    changes = dict(
        train_dataloader__dataset=dict(type='Views'),
        train_dataloader__sampler=sampler_of(
            dict(type='InfoBatch', prune_ratio=0.5), type=SomeViews
        ),
    )
    if loop == 'iterations':
        changes.update(train_cfg=dict(by_epoch=False, max_iters=160))
    runner = make_runner(tmp_path, **changes)
    scored = []
    record_scored(runner, scored)
    runner.train()
    hook, recorder = hook_of(runner), hook_of(runner, 'Recorder')
    items = hook.planner.sampler._inner.items
    trained = sum(recorder.numbers, [])
    assert set(trained) <= {2 * i + view for i, view in items.values}
    values = [2 * i + view for i, view in items.values]
    assert [[values[i] for i in ids] for ids in scored] == recorder.numbers
    assert len(hook.scores) == len(items) > 70
    assert hook.visited == len(trained) < hook.visited_unpruned == 640


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize(
    'inner, at', [(SomeViews, 85), *((Curriculum, n) for n in (6, 8, 13, 16))]
)
def test_resumed_run_knows_what_has_changed_in_passes_before(
    tmp_path, loop, inner, at
):
    """13 is the end of an epoch in `Curriculum`."""
    pruner = dict(type='InfoBatch', prune_ratio=0.5)
    changes = dict(
        train_dataloader__sampler=sampler_of(pruner, type=inner),
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', interval=at, by_epoch=False)
        ),
    )
    if inner is SomeViews:
        changes.update(train_dataloader__dataset=dict(type='Views'))
    if loop == 'iterations':
        changes.update(train_cfg=dict(by_epoch=False, max_iters=2 * at))
    whole = train(tmp_path / 'whole', **changes)
    resumed = make_runner(
        tmp_path / 'resumed',
        resume=True,
        load_from=str(tmp_path / 'whole' / f'iter_{at}.pth'),
        **changes,
    )
    resumed.train()
    expected = hook_of(whole, 'Recorder').numbers[at:]
    assert hook_of(resumed, 'Recorder').numbers == expected
    assert torch.equal(hook_of(resumed).scores, hook_of(whole).scores)
    assert hook_of(resumed).planner.saved == hook_of(whole).planner.saved
