"""A schedule compressed to fewer epochs or iterations."""

import pytest
from mmengine.config import Config

from bls_mm.comparison.schedule import compress_schedule


@pytest.mark.parametrize(
    'length, share, before, after',
    [
        # 12 epochs become 9.
        (12, 0.76, dict(milestones=[8, 11]), dict(milestones=[6, 8])),
        (12, 0.76, dict(total_steps=12), dict(total_steps=9)),
        (12, 0.76, dict(begin=0, end=500), dict(begin=0, end=375)),
        (12, 0.76, dict(step_size=1), dict(step_size=1)),
        (12, 0.76, dict(periods=[4, 8]), dict(periods=[3, 6])),
        (
            12,
            0.76,
            dict(T_max=6, begin=6, end=12),
            dict(T_max=5, begin=4, end=9),
        ),
        (12, 0.76, dict(T_max=6, gamma=6), dict(T_max=4, gamma=6)),
        (12, 0.76, dict(begin=10, end=11), dict(begin=8, end=9)),
        (12, 1.0, dict(T_max=12, by_epoch=True), dict(T_max=12)),
        # A run is at least one epoch.
        (3, 0.1, dict(begin=0, end=3), dict(end=1)),
    ],
)
def test_compress_schedule(length, share, before, after):
    cfg = Config(
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=length),
            param_scheduler=[dict(type='X', **before)],
        )
    )
    short = compress_schedule(cfg, share)
    assert short.train_cfg.max_epochs == max(1, round(length * share))
    assert short.param_scheduler[0] == {'type': 'X', **before, **after}
    assert cfg.param_scheduler[0] == dict(type='X', **before)


def test_compress_schedule_of_an_iteration_based_run():
    cfg = Config(
        dict(
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=1000),
            param_scheduler=dict(type='PolyLR', begin=0, end=1000),
        )
    )
    short = compress_schedule(cfg, 0.805)
    assert short.train_cfg.max_iters == 805
    assert short.param_scheduler.end == 805


def test_compress_schedule_moves_the_switches_of_hooks():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=300),
            param_scheduler=dict(
                generator=[dict(type='MultiStepLR', milestones=(100, 200))]
            ),
            custom_hooks=[dict(type='EMAHook', momentum=0.1)]
            + [dict(type='PipelineSwitchHook', switch_epoch=280)],
        )
    )
    short = compress_schedule(cfg, 0.5)
    assert short.param_scheduler.generator[0].milestones == [50, 100]
    assert short.custom_hooks[0] == dict(type='EMAHook', momentum=0.1)
    assert short.custom_hooks[1].switch_epoch == 140


@pytest.mark.parametrize(
    'before, after',
    [
        (dict(val_begin=8), dict(val_begin=5)),
        (dict(val_begin=10), dict(val_begin=6)),
        (
            dict(dynamic_intervals=[(1, 5), (8, 1)]),
            dict(dynamic_intervals=[(1, 5), (5, 1)]),
        ),
        (dict(val_interval=4), dict(val_interval=4)),
    ],
)
def test_compress_schedule_moves_what_validation_begins_with(before, after):
    cfg = Config(dict(train_cfg=dict(max_epochs=10, **before)))
    short = compress_schedule(cfg, 0.6)
    assert short.train_cfg == dict(max_epochs=6, **after)
