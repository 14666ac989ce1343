"""Each private name of the libraries is there and means what it should."""

import os

import pytest
import torch
from mmengine.dataset import (
    BaseDataset,
    ConcatDataset,
    DefaultSampler,
    RepeatDataset,
)
from mmengine.optim import LinearLR, OptimWrapper
from mmengine.runner import FlexibleRunner, Runner
from toy import ToyDataset, make_config, make_runner

from bls_mm.datasets.wrappers import look_inside
from bls_mm.runner import private

LOOPS = [
    dict(by_epoch=True, max_epochs=3),
    dict(by_epoch=False, max_iters=30),
]


@pytest.mark.parametrize('kind', [Runner, FlexibleRunner])
@pytest.mark.parametrize('resume', [True, False])
def test_is_resumed_is_what_the_config_says(tmp_path, kind, resume):
    settings = dict(experiment_name=f'{kind.__name__}{resume}', resume=resume)
    if kind is FlexibleRunner:
        settings['env_cfg'] = dict()
    runner = kind(**make_config(tmp_path), **settings)
    assert private.is_resumed(runner) is resume


@pytest.mark.parametrize('settings', LOOPS)
def test_set_loop_length_sets_the_length_that_the_loop_has(tmp_path, settings):
    loop = make_runner(tmp_path, train_cfg=settings).train_loop
    assert loop.max_iters == 30
    private.set_loop_length(loop, 7)
    assert loop.max_iters == 7


def make_wrapper(counts):
    parameter = torch.nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    return OptimWrapper(optimizer, accumulative_counts=counts), parameter


@pytest.mark.parametrize('counts', [1, 3])
def test_accumulative_counts_are_those_of_the_wrapper(counts):
    wrapper, _ = make_wrapper(counts)
    assert private.accumulative_counts(wrapper) == counts


def test_accumulative_counts_are_1_where_a_wrapper_has_none():
    assert private.accumulative_counts(object()) == 1


@pytest.mark.parametrize('length', [10, 8, 7])
@pytest.mark.parametrize('counts', [2, 4])
def test_accumulation_ends_where_it_is_set_to(counts, length):
    """MMEngine steps then, and has divided the losses as we say it has."""
    wrapper, parameter = make_wrapper(counts)
    wrapper.initialize_count_status(torch.nn.Linear(1, 1), 0, 100)
    private.set_accumulation_end(wrapper, length)
    steps = []
    for iteration in range(1, length + 1):
        loss = parameter.sum()
        divisor = (loss / wrapper.scale_loss(loss)).item()
        wrapper.backward(loss)
        assert private.accumulation_divisor(wrapper) == divisor
        if wrapper.should_update():
            steps.append(iteration)
    whole = range(counts, length + 1, counts)
    assert steps == sorted({*whole, length})


@pytest.mark.parametrize('length', [8, 7])
def test_accumulation_goes_on_after_its_end(length):
    """MMEngine alone divides by zero there if no remainder is left."""
    wrapper, parameter = make_wrapper(4)
    assert private.accumulation_end(wrapper) is None
    wrapper.initialize_count_status(torch.nn.Linear(1, 1), 0, length)
    assert private.accumulation_end(wrapper) == length
    private.set_accumulation_end(wrapper, length)
    for _ in range(2 * length):
        wrapper.update_params(parameter.sum())
    private.set_accumulation_end(wrapper, None)
    assert private.accumulation_end(wrapper) is None
    assert private.accumulation_divisor(wrapper) == 4
    assert wrapper.scale_loss(torch.tensor(1.0)) == 0.25


def test_accumulation_has_no_end_where_a_wrapper_knows_of_none():
    assert private.accumulation_end(object()) is None


def test_scheduler_steps_are_those_that_were_made():
    wrapper, parameter = make_wrapper(1)
    scheduler = LinearLR(wrapper, begin=2, end=4, by_epoch=False)
    for steps in range(6):
        assert private.scheduler_steps(scheduler) == steps
        wrapper.update_params(parameter.sum())
        scheduler.step()


@pytest.mark.parametrize('batches', [None, 2])
def test_sliced_dataset_is_what_mmengine_cut_short(batches):
    loader = dict(
        dataset=ToyDataset(40),
        sampler=dict(type='DefaultSampler', shuffle=False),
        batch_size=4,
    )
    if batches is not None:
        loader['num_batch_per_epoch'] = batches
    dataset = Runner.build_dataloader(loader).dataset
    inside = private.sliced_dataset(dataset)
    if batches is None:
        assert inside is None
    else:
        assert type(inside) is ToyDataset
        assert (len(dataset), len(inside)) == (8, 40)


class Upright(ToyDataset):
    """Every sample belongs into one bucket."""

    def get_data_info(self, index):
        return dict(width=1, height=2)

    def get_dataset_source(self, index):
        return 0


@pytest.mark.parametrize(
    'name', ['AspectRatioBatchSampler', 'MultiDataAspectRatioBatchSampler']
)
def test_empty_buckets_leaves_nothing_of_an_iteration_broken_off(name):
    samplers = pytest.importorskip('mmdet.datasets.samplers')
    settings = dict(batch_size=3, drop_last=False)
    if name.startswith('Multi'):
        settings = dict(batch_size=[3], drop_last=False, num_datasets=1)
    order = DefaultSampler(Upright(12), shuffle=False)
    made = getattr(samplers, name)(sampler=order, **settings)
    expected = list(made)
    assert len(expected) == 4
    next(iter(made))
    assert list(made) != expected  # else nothing would have to be done
    next(iter(made))
    private.empty_buckets(made)
    assert list(made) == expected


class Loaders(torch.utils.data.Dataset):
    """Which process loads a sample."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return os.getpid()


def test_workers_are_kept_until_they_are_dropped():
    def kept():
        with private.keeping_workers(loader):
            return loaders()

    def loaders():
        return {int(number) for batch in loader for number in batch}

    loader = torch.utils.data.DataLoader(Loaders(), num_workers=2)
    first = kept()
    assert not loader.persistent_workers
    assert loaders().isdisjoint(first)
    assert kept() == first
    private.drop_workers(loader)
    assert kept().isdisjoint(first)
    private.drop_workers(loader)


class Three(BaseDataset):
    def load_data_list(self):
        return [dict(number=number) for number in range(3)]


def test_original_index_is_what_is_behind_an_index():
    parts = [Three(serialize_data=False) for _ in range(2)]
    assert private.original_index(parts[0]) is None
    assert private.original_index(RepeatDataset(parts[0], 2))(4) == 1
    assert private.original_index(ConcatDataset(parts))(4) == (1, 1)


def test_original_index_of_mmdet3d():
    wrappers = pytest.importorskip('mmdet3d.datasets.dataset_wrappers')
    dataset = object.__new__(wrappers.CBGSDataset)
    vars(dataset).update(
        dataset=range(3), sample_indices=[2, 2, 0], _fully_initialized=True
    )
    assert private.original_index(dataset)(1) == 2


@pytest.mark.filterwarnings('ignore:The metainfo config file:UserWarning')
@pytest.mark.parametrize('factors', [None, [2.0, 0.5]])
def test_combined_lengths_are_those_of_mmpose(factors):
    datasets = pytest.importorskip('mmpose.datasets')
    sizes = [6, 8]
    dataset = datasets.CombinedDataset(
        metainfo=dict(from_file='configs/_base_/datasets/coco.py'),
        datasets=[dict(type=ToyDataset, size=size) for size in sizes],
        sample_ratio_factor=factors,
    )
    indices = [12, 4] if factors else sizes
    assert private.combined_lengths(dataset) == list(zip(indices, sizes))
    # The middle of what an index draws from, as bls_mm says.
    for index, sample in enumerate(look_inside(dataset).indices.tolist()):
        part, drawn = dataset._get_subset_index(index)
        assert abs(drawn + part * sizes[0] - sample) <= 1


def test_combined_lengths_of_another_dataset():
    assert private.combined_lengths(ToyDataset(3)) is None
