"""Samplers with a purpose of their own, filtered."""

import pytest
import torch
from mmengine.registry import DATA_SAMPLERS
from toy import ToyDataset, hook_of, train

from bls_mm import BLSSampler

REPEAT_AUG = dict(type='mmpretrain.RepeatAugSampler', num_repeats=3)
CLASS_AWARE = dict(type='mmdet.ClassAwareSampler', num_sample_class=1)
INNER = {
    'repeated augmentation': REPEAT_AUG,
    'class aware': CLASS_AWARE,
    'sequential': dict(type='mmpretrain.SequentialSampler'),
}


@pytest.fixture(autouse=True)
def packages():
    pytest.importorskip('mmdet')
    pytest.importorskip('mmpretrain')


def sampler(dataset=None, seed=3, **inner):
    made = BLSSampler(dataset or ToyDataset(12), inner=inner, seed=seed)
    made.attach()
    return made


def visit(made, epoch, **kept):
    made.begin_pass(epoch, **kept)
    return list(made)


@pytest.mark.parametrize('name', INNER)
def test_inner_yields_its_own_order_when_nothing_is_pruned(name):
    made = sampler(**INNER[name])
    alone = DATA_SAMPLERS.build(
        dict(INNER[name]), default_args=dict(dataset=ToyDataset(12), seed=3)
    )
    for epoch in range(3):
        order = visit(made, epoch)
        alone.set_epoch(epoch)
        assert order == list(alone)
        assert len(made) == len(order)


@pytest.mark.parametrize('name', INNER)
def test_inner_order_loses_only_what_is_pruned(name):
    made = sampler(**INNER[name])
    kept = torch.arange(12) % 3 > 0
    for epoch in range(3):
        full = visit(made, epoch)
        assert visit(made, epoch, kept=kept) == [i for i in full if i % 3]


def test_inner_that_goes_on_is_drawn_in_order():
    dataset = torch.utils.data.ConcatDataset([ToyDataset(8), ToyDataset(6)])
    settings = dict(type='mmdet.CustomSampleSizeSampler', dataset_size=[3, -1])
    made = sampler(dataset, **settings)
    orders = [visit(made, epoch) for epoch in range(4)]
    assert len({tuple(sorted(order)) for order in orders}) > 1
    # A resumed run asks for a later pass at once, an extra one for an earlier.
    again = sampler(dataset, **settings)
    assert visit(again, 3) == orders[3]
    assert visit(again, 1) == orders[1]


@pytest.mark.parametrize('world_size', [1, 2, 3])
def test_ranks_share_what_inner_yields(monkeypatch, world_size):
    kept = torch.arange(12) % 3 > 0
    alone = sampler(**REPEAT_AUG)
    expected = visit(alone, 1, kept=kept)
    shares = []
    for rank in range(world_size):
        for module in (
            'bls_mm.samplers.bls_sampler',
            'mmpretrain.datasets.samplers.repeat_aug',
        ):
            monkeypatch.setattr(
                f'{module}.get_dist_info', lambda r=rank: (r, world_size)
            )
        shares.append(visit(sampler(**REPEAT_AUG), 1, kept=kept))
    assert len({len(share) for share in shares}) == 1
    dealt = [index for turn in zip(*shares) for index in turn]
    assert dealt[: len(expected)] == expected


@pytest.mark.parametrize('kind', ['GroupMultiSource', 'MultiSource'])
def test_sampler_of_several_sources_is_refused(kind):
    inner = dict(type=f'mmdet.{kind}Sampler')
    entry = '`train_dataloader.sampler.inner`'
    with pytest.raises(ValueError, match=f'{entry}.*several sources'):
        BLSSampler(ToyDataset(12), inner=inner)


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize('name', ['repeated augmentation', 'class aware'])
def test_run_with_inner_is_pruned(tmp_path, name, loop):
    pruned = dict(type='RandomPrune', prune_ratio=0.5)
    changes = dict(
        train_dataloader__sampler=dict(
            type='BLSSampler', inner=INNER[name], pruner=pruned
        )
    )
    if loop == 'iterations':
        changes.update(train_cfg=dict(by_epoch=False, max_iters=80))
    runner = train(tmp_path, **changes)
    assert runner.iter < 70
    assert hook_of(runner).visited < 0.75 * 320
