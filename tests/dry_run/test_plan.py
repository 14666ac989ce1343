"""The plan of a training: against trainings, and as a table."""

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from toy import VALIDATED, make_config, make_runner

from bls_mm.dry_run import format_plan, make_plan

RANDOM = dict(type='RandomPrune', prune_ratio=0.5)
INFOBATCH = dict(type='InfoBatch')
EPOCHS = dict(by_epoch=True, max_epochs=8)
ITERS = dict(by_epoch=False, max_iters=75)


class Counter(Hook):
    """Count validations and checkpoints."""

    def __init__(self):
        self.validations = self.checkpoints = 0

    def before_val_epoch(self, runner):
        self.validations += 1

    def before_save_checkpoint(self, runner, checkpoint):
        self.checkpoints += 1


def hooks(**checkpoint):
    return dict(checkpoint=dict(type='CheckpointHook', **checkpoint))


SAVING = hooks(interval=1)


@pytest.mark.parametrize(
    'train_cfg, default_hooks',
    [
        (EPOCHS, SAVING),
        (dict(EPOCHS, val_interval=3), hooks(interval=3)),
        (dict(EPOCHS, val_interval=3, val_begin=4), hooks()),
        (
            dict(EPOCHS, val_interval=5, dynamic_intervals=[(6, 1)]),
            hooks(interval=3, save_begin=2, save_last=False),
        ),
        (dict(ITERS, val_interval=20), hooks(interval=10, by_epoch=False)),
        (dict(ITERS, val_interval=100), {}),
        (
            dict(ITERS, val_interval=7, val_begin=20),
            hooks(interval=9, by_epoch=False, save_begin=9),
        ),
    ],
)
def test_plan_is_what_the_training_does(tmp_path, train_cfg, default_hooks):
    changes = dict(
        train_dataloader__sampler__pruner=RANDOM,
        train_cfg=train_cfg,
        default_hooks=default_hooks,
        **VALIDATED,
    )
    plan = make_plan(Config(make_config(tmp_path / 'planned', **changes)))
    assert not (tmp_path / 'planned').exists()
    runner, counter = make_runner(tmp_path, **changes), Counter()
    runner.register_hook(counter)
    runner.train()
    assert plan.expected.iterations == runner.iter
    assert plan.validations == counter.validations
    assert plan.checkpoints == counter.checkpoints


def table(tmp_path, **changes):
    config = make_config(tmp_path, default_hooks=SAVING, **changes)
    return format_plan(make_plan(Config(config)))


def test_plan_of_a_pruned_run(tmp_path, monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    changes = dict(train_dataloader__sampler__pruner=INFOBATCH)
    assert (
        table(tmp_path, launcher='pytorch', **changes)
        == """\
pruner       InfoBatch(prune_ratio=0.5)
passes       8
pruned       epochs 2 to 7 of 8
saving       about 16.9% of the visits
data         40 samples in batches of 4 on 2 ranks
visits       about 266 instead of 320
iterations   about 34 instead of 40
validations  0
checkpoints  8
assumed      46% of the samples score below the mean"""
    )


def test_plan_of_an_unpruned_run(tmp_path):
    changes = dict(custom_hooks=[], train_cfg=ITERS)
    changes['train_dataloader__sampler'] = dict(type='DefaultSampler')
    assert (
        table(tmp_path, **changes)
        == """\
pruner       No pruner
passes       8
data         40 samples in batches of 4
visits       300
iterations   75
validations  0
checkpoints  1"""
    )


@pytest.mark.parametrize(
    'train_cfg, lines',
    [
        (
            EPOCHS,
            [
                'passes       8',
                'pruned       epochs 2 to 7 of 8',
                'saving       37.5% of the visits',
                'validations  0',
                'checkpoints  8',
            ],
        ),
        (ITERS, ['validations  0', 'checkpoints  1']),
    ],
)
def test_without_the_data_the_plan_says_what_is_known(
    tmp_path, train_cfg, lines
):
    missing = dict(
        type='mmengine.dataset.BaseDataset', ann_file=str(tmp_path / 'no.json')
    )
    text = table(
        tmp_path,
        train_cfg=train_cfg,
        train_dataloader__dataset=missing,
        train_dataloader__sampler__pruner=RANDOM,
    )
    first, *middle, last = text.splitlines()
    assert first == 'pruner       RandomPrune(prune_ratio=0.5)'
    assert middle == lines
    assert last.startswith('unknown      what depends on the data: FileNotFo')


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(train_cfg=None), 'no `train_cfg`: nothing to train'),
        (
            dict(train_dataloader__sampler=dict(type='DefaultSampler')),
            'BLSHook needs a BLSSampler',
        ),
        (
            dict(
                train_dataloader__sampler__pruner=dict(
                    type='InfoBatch', target_saving=0.8
                )
            ),
            r'`train_dataloader.sampler.pruner.target_saving` should be at',
        ),
    ],
)
def test_plan_refuses_what_training_would(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        table(tmp_path, **changes)
