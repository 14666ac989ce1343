"""The last batch of a pruned pass is never a few samples."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plans import make_planner
from states import same, through_a_file
from torch.utils.data import Sampler, Subset
from toy import make_runner

from bls_mm import BLSSampler
from bls_mm.passes.last_batch import drop_small_last

SMALL = dict(type='RandomPrune', prune_ratio=0.175)  # 33 of 40


@pytest.mark.parametrize(
    'selected, whole, batch_size, world_size, left',
    [
        (1666, 5000, 64, 1, 1664),  # 2 images, and 8 unpruned
        (1673, 5000, 64, 1, 1673),  # 9
        (1672, 5000, 64, 1, 1672),  # 8, as many as unpruned
        (3000, 6400, 64, 1, 3000),  # 56, more than half a batch
        (2975, 6400, 64, 1, 2944),  # 31
        (2976, 6400, 64, 1, 2976),  # 32
        (33, 40, 2, 1, 32),
        (33, 41, 2, 1, 33),
        (33, 40, 1, 1, 33),
        (5, 40, 64, 1, 5),  # there is no other batch
        (65, 40, 64, 1, 64),
        (33, 40, 4, 2, 32),  # a batch of 1 on a rank and of none on another
        (35, 40, 4, 2, 35),  # 2 and 1, of which one is padded
    ],
)
def test_small_last_batch_is_left_out(
    selected, whole, batch_size, world_size, left
):
    size = drop_small_last(selected, whole, batch_size, world_size)
    assert size == left


@given(
    whole=st.integers(1, 500),
    share=st.floats(0, 1),
    batch_size=st.integers(1, 70),
    world_size=st.integers(1, 4),
)
def test_last_batch_is_half_full_or_as_full_as_without_pruning(
    whole, share, batch_size, world_size
):
    selected = max(1, round(share * whole))
    size = drop_small_last(selected, whole, batch_size, world_size)
    assert drop_small_last(whole, whole, batch_size, world_size) == whole
    assert 0 <= selected - size <= world_size * max(1, batch_size / 2)
    unpruned, last = (
        (-(-number // world_size) - 1) % batch_size + 1
        for number in (whole, size)
    )
    if size > batch_size * world_size:
        assert last >= min(unpruned, batch_size / 2)
        assert last > 1 or min(unpruned, batch_size) == 1


def lengths(planner, batches, passes=3):
    """Samples of the batches of some passes."""
    sizes = []
    for _ in range(passes):
        planner.begin(torch.zeros(len(planner.sampler.dataset)))
        planner.end()
        sizes.append([len(batch) for batch in batches])
        assert planner.current.length == len(sizes[-1])
    return sizes


def test_pruned_passes_leave_it_out():
    planner, batches = make_planner(pruner=SMALL)
    assert lengths(planner, batches) == [[4] * 10, [4] * 8, [4] * 8]
    assert planner.visited == 40 + 32 + 32
    assert planner.kept == (32, 40)
    ids = planner.weights.nonzero().squeeze(1)
    assert ids.tolist() == sorted(planner.sampler)


def test_passes_that_have_none_stay_as_they_are():
    planner, batches = make_planner(pruner=SMALL, drop_last=True, size=41)
    assert lengths(planner, batches)[1:] == [[4] * 8] * 2
    assert planner.kept == (34, 41)
    planner, batches = make_planner(pruner=SMALL, stream=True, size=40)
    lengths(planner, batches)
    assert planner.kept == (33, 40)


class Sorted(Sampler):
    def __init__(self, dataset, seed=0):
        self.size = len(dataset)

    def __len__(self):
        return self.size

    def __iter__(self):
        return iter(range(self.size))


@pytest.mark.parametrize('inner', [None, dict(type=Sorted)])
def test_none_is_left_out_for_ever(inner):
    planner, batches = make_planner(pruner=SMALL, steps=400, inner=inner)
    planner.sampler.shuffle = False
    visited = set()
    for _ in range(20):
        planner.begin(torch.zeros(40))
        planner.end()
        order = list(planner.sampler)
        assert order == sorted(order)
        visited = visited.union(order) if planner.current.number else visited
    assert visited == set(range(40))


def test_samples_with_several_indices_are_left_out_whole():
    dataset = Subset(range(20), [*range(20)] * 3)
    sampler = BLSSampler(dataset, seed=0)
    sampler.attach()
    kept = torch.ones(20, dtype=torch.bool)
    kept[:3] = False
    limit = partial(drop_small_last, whole=60, batch_size=10, world_size=1)
    sampler.begin_pass(1, kept, limit=limit)  # 51 of them
    ids = sampler.ids_in_order()
    assert ids.bincount(minlength=20).unique().tolist() == [0, 3]
    assert len(ids) == 48 and len(sampler.left_out.unique()) == 1
    again = BLSSampler(dataset, seed=0)
    again.attach()
    kept[sampler.left_out] = False
    again.begin_pass(1, kept, limit=limit)
    assert again.left_out.tolist() == []
    assert torch.equal(again.ids_in_order(), ids)


def test_pass_that_an_earlier_version_began_keeps_it():
    planner, batches = make_planner(pruner=SMALL)
    lengths(planner, batches, 2)
    old = dict(planner.state_dict(), done=9, finished=1)
    old['weights'][planner.weights.argmin()] = 1  # the 33rd sample
    twin, batches = make_planner(pruner=SMALL)
    twin.load_state_dict(old, torch.device('cpu'))
    assert (twin.current.length, twin.current.done) == (9, 9)
    assert same(through_a_file(twin.state_dict()), old)
    assert lengths(twin, batches, 1) == [[4] * 8]


def test_resumed_run_leaves_out_the_same():
    planner, batches = make_planner(pruner=SMALL)
    lengths(planner, batches, 1)
    planner.begin(torch.zeros(40))
    planner.advance(5)
    twin, _ = make_planner(pruner=SMALL)
    twin.load_state_dict(planner.state_dict(), torch.device('cpu'))
    assert list(twin.sampler) == list(planner.sampler)
    assert same(twin.state_dict(), planner.state_dict())


class Normalized(torch.nn.Module):
    """BatchNorm, which fails in training with a batch of one."""

    def __init__(self, model):
        super().__init__()
        self.norm = torch.nn.BatchNorm1d(2)
        self.model = model

    def forward(self, inputs):
        return self.model(self.norm(inputs))


def test_batch_norm_trains_where_it_does_without_pruning(tmp_path):
    runner = make_runner(
        tmp_path, train_dataloader__sampler__pruner=dict(SMALL)
    )
    runner.model.linear = Normalized(runner.model.linear)
    runner.train()
    assert runner.epoch == 8
