"""The sampler by itself: order, ranks, passes and the stream of batches."""

import tracemalloc
from collections import Counter

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS

from bls_mm import BLSSampler, SeTa
from bls_mm.datasets.sample_ids import SampleIds

WORLD_SIZES = [1, 2, 3, 8]
PATCHED = ('bls_mm.samplers.bls_sampler', 'mmengine.dataset.sampler')


@pytest.fixture
def on_ranks(monkeypatch):
    """Make a sampler on each of some ranks."""

    def make(world_size, build):
        samplers = []
        for rank in range(world_size):
            for module in PATCHED:
                name = f'{module}.get_dist_info'
                info = (rank, world_size)
                monkeypatch.setattr(name, lambda info=info: info)
            samplers.append(build())
        return samplers

    return make


def attached(size, batch_size=None, **settings):
    """A sampler that is told what to visit."""
    settings.setdefault('seed', 5)
    sampler = BLSSampler(range(size), **settings)
    sampler.attach(batch_size)
    return sampler


def random_mask(size, share, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(size, generator=generator) < share


def dealt(samplers):
    """What the ranks yield, in the order in which it was dealt out."""
    lists = [list(sampler) for sampler in samplers]
    assert [len(sampler) for sampler in samplers] == [len(x) for x in lists]
    longest = max(len(indices) for indices in lists)
    return [x[turn] for turn in range(longest) for x in lists if turn < len(x)]


# Without a pruner

# What MMEngine's own tests of `DefaultSampler` look at, and its users.
ATTRIBUTES = (
    'dataset', 'epoch', 'num_samples', 'rank', 'round_up', 'seed', 'shuffle',
    'total_size', 'world_size',
)  # fmt: skip


@pytest.mark.parametrize('round_up', [True, False])
@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', WORLD_SIZES)
@pytest.mark.parametrize('size', [1, 2, 7, 64, 101])
def test_sampler_equals_default_sampler(
    on_ranks, size, world_size, shuffle, round_up
):
    settings = dict(shuffle=shuffle, seed=7, round_up=round_up)
    data = range(size)
    ours = on_ranks(
        world_size, lambda: BLSSampler(data, pruner=None, **settings)
    )
    theirs = on_ranks(world_size, lambda: DefaultSampler(data, **settings))
    for mine, default in zip(ours, theirs):
        for epoch in (None, 0, 1, 5, 2):
            if epoch is not None:
                mine.set_epoch(epoch)
                default.set_epoch(epoch)
            assert list(mine) == list(default)
            assert list(mine) == list(default)  # and once more
            for name in ATTRIBUTES:
                assert getattr(mine, name) == getattr(default, name), name
            assert len(mine) == len(default)


@pytest.mark.parametrize('world_size', [1, 3])
def test_sampler_equals_default_sampler_when_a_hook_keeps_everything(
    on_ranks, world_size
):
    ours = on_ranks(world_size, lambda: attached(50))
    theirs = on_ranks(world_size, lambda: DefaultSampler(range(50), seed=5))
    for epoch in range(3):
        for mine, default in zip(ours, theirs):
            mine.begin_pass(epoch)
            default.set_epoch(epoch)
            assert list(mine) == list(default)


def test_sampler_equals_default_sampler_when_the_seed_is_drawn():
    state = np.random.get_state()  # noqa: NPY002
    ours = BLSSampler(range(30), pruner=None)
    np.random.set_state(state)  # noqa: NPY002
    theirs = DefaultSampler(range(30))
    assert ours.seed == theirs.seed
    assert list(ours) == list(theirs)


def test_sampler_without_a_seed_takes_the_one_of_all_ranks(monkeypatch):
    name = 'bls_mm.samplers.bls_sampler.sync_random_seed'
    monkeypatch.setattr(name, lambda: 7)
    assert BLSSampler(range(30), pruner=None, seed=None).seed == 7


def test_order_of_an_epoch_is_torchs_permutation():
    sampler = BLSSampler(range(100), pruner=None, seed=0)
    sampler.set_epoch(10)
    generator = torch.Generator().manual_seed(10)
    expected = torch.randperm(100, generator=generator)
    assert list(sampler) == expected.tolist()


def test_sampler_equals_default_sampler_when_there_are_many():
    # More than are handed over at a time.
    ours = BLSSampler(range(150_001), pruner=None, seed=1)
    assert list(ours) == list(DefaultSampler(range(150_001), seed=1))


def test_sampler_is_built_from_what_other_samplers_take():
    cfg = dict(type='BLSSampler', shuffle=False, round_up=False)
    defaults = dict(dataset=range(3), seed=1)
    sampler = DATA_SAMPLERS.build(cfg, default_args=defaults)
    assert list(sampler) == [0, 1, 2]


# With a mask


@pytest.mark.parametrize('batch_size', [None, 1])
def test_kept_are_visited_when_there_are_many(batch_size):
    # More than are filtered at a time.
    sampler = attached(150_001, batch_size)
    kept = random_mask(150_001, 0.5)
    sampler.begin_pass(1, kept)
    assert sorted(sampler) == kept.nonzero().flatten().tolist()


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', WORLD_SIZES)
@pytest.mark.parametrize('share', [0, 0.02, 0.5, 1])
@pytest.mark.parametrize('size', [1, 7, 100])
def test_ranks_visit_exactly_what_is_kept_padding_apart(
    on_ranks, size, share, world_size, shuffle
):
    samplers = on_ranks(world_size, lambda: attached(size, shuffle=shuffle))
    for epoch in range(3):
        kept = random_mask(size, share, epoch)
        number = int(kept.sum())
        for sampler in samplers:
            sampler.begin_pass(epoch, kept)
            assert len(sampler.left_over) == 0
        visited = dealt(samplers)
        assert len({len(sampler) for sampler in samplers}) == 1
        assert set(visited) == set(kept.nonzero().flatten().tolist())
        assert len(set(visited[:number])) == number
        padding = visited[number:]
        assert len(padding) < world_size
        # Padding starts over, again and again where there are too few.
        assert padding == (visited[:number] * world_size)[: len(padding)]
        for sampler in samplers:
            assert sampler.selected == number
            assert sampler.total_size == len(visited)
            assert sampler.num_samples == len(list(sampler))


@pytest.mark.parametrize('world_size', WORLD_SIZES)
@pytest.mark.parametrize('share', [0, 0.1, 0.6])
def test_ranks_visit_each_kept_once_without_round_up(
    on_ranks, share, world_size
):
    samplers = on_ranks(world_size, lambda: attached(40, round_up=False))
    kept = random_mask(40, share)
    for sampler in samplers:
        sampler.begin_pass(1, kept)
    visited = dealt(samplers)
    assert sorted(visited) == kept.nonzero().flatten().tolist()
    lengths = [len(sampler) for sampler in samplers]
    assert max(lengths) - min(lengths) <= 1
    assert samplers[0].total_size == len(visited)


def test_kept_come_in_the_order_of_the_unpruned_pass():
    sampler = attached(100)
    kept = random_mask(100, 0.4)
    for epoch in range(3):
        sampler.begin_pass(epoch)
        full = list(sampler)
        sampler.begin_pass(epoch, kept)
        assert list(sampler) == [i for i in full if kept[i]]


def test_order_depends_on_seed_and_pass_alone():
    kept = random_mask(200, 0.5)
    orders = {}
    for seed in (1, 2):
        for epoch in (3, 0, 3):
            sampler = attached(200, seed=seed)
            state = torch.get_rng_state()
            sampler.begin_pass(epoch, kept)
            order = orders.setdefault((seed, epoch), list(sampler))
            assert list(sampler) == order
            assert torch.equal(torch.get_rng_state(), state)
    assert len({tuple(order) for order in orders.values()}) == 4


def repeated(size, times, batch_size=None):
    """A sampler of a dataset that repeats its samples."""
    sampler = attached(size * times, batch_size)
    sampler.samples = SampleIds(size, torch.arange(size * times) % size)
    return sampler


def test_mask_of_samples_covers_all_their_repetitions():
    sampler = repeated(6, 4)
    kept = torch.tensor([True, False, True, True, False, False])
    sampler.begin_pass(0, kept)
    assert sorted(sampler) == [i for i in range(24) if kept[i % 6]]


def test_set_epoch_changes_nothing_when_a_hook_is_in_charge():
    sampler = attached(30)
    sampler.begin_pass(2, random_mask(30, 0.5))
    before = list(sampler)
    sampler.set_epoch(9)
    assert list(sampler) == before
    assert sampler.epoch == 2


# A stream of full batches


@pytest.mark.parametrize('shuffle', [True, False])
@pytest.mark.parametrize('world_size', [1, 2, 3])
@pytest.mark.parametrize('size, batch_size', [(40, 4), (10, 4), (5, 7)])
def test_stream_visits_every_kept_index_once_in_whole_batches(
    on_ranks, size, batch_size, world_size, shuffle
):
    samplers = on_ranks(
        world_size, lambda: attached(size, batch_size, shuffle=shuffle)
    )
    full = batch_size * world_size
    expected, visited = Counter(), Counter()
    for epoch in range(12):
        kept = random_mask(size, epoch % 3 / 2, epoch)
        expected.update(kept.nonzero().flatten().tolist())
        for sampler in samplers:
            sampler.begin_pass(epoch, kept)
        left = sampler.left_over
        assert len(left) < full
        dealt_out = dealt(samplers)
        assert samplers[0].total_size == len(dealt_out)
        assert samplers[0].selected == int(kept.sum())
        assert {len(s) % batch_size for s in samplers} == {0}
        assert len({len(s) for s in samplers}) == 1
        visited.update(dealt_out)
        assert visited + Counter(left.tolist()) == expected
    assert sum(visited.values()) > 0


def test_stream_begins_a_pass_with_what_the_last_one_left():
    sampler = attached(10, 4)
    sampler.begin_pass(0)
    left = sampler.left_over.tolist()
    assert len(left) == 2
    sampler.begin_pass(1, torch.zeros(10, dtype=torch.bool))
    assert list(sampler) == []
    sampler.begin_pass(2)
    assert sampler.carried.tolist() == list(sampler)[:2] == left
    assert sampler.left_over.tolist() == []


@pytest.mark.parametrize('world_size', [1, 2])
def test_stream_makes_at_most_the_batches_asked_for(on_ranks, world_size):
    samplers = on_ranks(world_size, lambda: attached(100, 5))
    for sampler in samplers:
        sampler.begin_pass(0, max_batches=100 // (5 * world_size) - 1)
    visited = dealt(samplers)
    assert len(visited) == 100 - 5 * world_size
    assert sorted(visited + samplers[0].left_over.tolist()) == list(range(100))


def test_stream_of_a_repeated_dataset_goes_by_rounds():
    # Not through `repeated`: `attach` has to find the repetition.
    sampler = BLSSampler(torch.utils.data.Subset(range(6), [*range(6)] * 50))
    sampler.attach(3)
    assert sampler.full_size == 6
    sampler.begin_pass(0)
    assert len(sampler) == 6
    ids = sampler.samples.of_index[torch.tensor(list(sampler))]
    assert sorted(ids.tolist()) == list(range(6))


# Refusals and size


def test_pruner_without_a_hook_is_refused_when_training_starts():
    sampler = BLSSampler(range(10))
    with pytest.raises(RuntimeError, match='pruner.*no BLSHook.*custom_hooks'):
        sampler.set_epoch(0)


@pytest.mark.parametrize('key', ['num_repeats', 'ratio_mode', 'batch_size'])
def test_leftover_setting_of_another_sampler_is_named(key):
    with pytest.raises(TypeError, match=f'does not accept `{key}`'):
        BLSSampler(range(10), **{key: 3})


@pytest.mark.parametrize(
    'pruner, error, message',
    [
        (dict(type='Nope'), ValueError, r"'Nope'\. Known: .*InfoBatch"),
        (dict(type='SeTa', delta=7), ValueError, '`delta` should be in'),
        ('InfoBatch', TypeError, "should be a dict .* but got 'InfoBatch'"),
    ],
)
def test_wrong_pruner_is_refused_by_its_config_entry(pruner, error, message):
    entry = '`train_dataloader.sampler.pruner`'
    with pytest.raises(error, match=f'{entry}.*{message}'):
        BLSSampler(range(10), pruner=pruner)


class Stream(torch.utils.data.IterableDataset):
    """Samples without an index."""

    def __iter__(self):
        return iter(range(40))


class StreamOf40(Stream):
    """Samples without an index, whose number is known."""

    def __len__(self):
        return 40


@pytest.mark.parametrize(
    'dataset, settings, error, message',
    [
        (range(0), {}, ValueError, 'dataset` is empty'),
        (Stream(), {}, TypeError, 'dataset` should have .* but got Stream'),
        (StreamOf40(), {}, TypeError, 'dataset` should .* got StreamOf40'),
        (range(9), dict(shuffle='no'), TypeError, "shuffle` .* got 'no'"),
        (range(9), dict(round_up=None), TypeError, 'round_up` .* got None'),
        (range(9), dict(seed='3'), TypeError, "seed` .* integer, .* '3'"),
        (range(9), dict(seed=1.5), TypeError, 'seed` .* integer, .* got 1.5'),
        (range(9), dict(seed=2**63), ValueError, r'seed` .* in \[.* 9223372'),
    ],
)
def test_sampler_refuses_a_setting_by_its_config_entry(
    dataset, settings, error, message
):
    match = '`train_dataloader.' + ('sampler.' if settings else '') + message
    with pytest.raises(error, match=match):
        BLSSampler(dataset, **settings)


def test_sampler_takes_a_pruner_that_is_built():
    pruner = SeTa()
    assert BLSSampler(range(10), pruner=pruner).pruner is pruner


def test_sampler_shares_no_pruner_when_the_default_is_used():
    assert BLSSampler(range(9)).pruner is not BLSSampler(range(9)).pruner


def test_large_dataset_is_iterated_without_a_list_of_all_of_it():
    sampler = BLSSampler(range(300_000), pruner=None, shuffle=False)
    tracemalloc.start()
    try:
        assert sum(sampler) == 44_999_850_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5e6  # the list would need 10.8 MB
