"""Configs in, pruned configs out."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS, HOOKS
from mmengine.runner import Runner

from bls_mm import BLSHook, BLSSampler, EMAScore
from bls_mm.config.pruning import (
    add_pruning,
    has_pruning,
    parse_score,
)
from bls_mm.zoo import load_config

ROOT = Path(__file__).parents[2]

HOOK = dict(type='bls_mm.BLSHook')
INFOBATCH = dict(type='InfoBatch')
THREE_LINES = """
custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
custom_hooks = [dict(type='BLSHook')]
train_dataloader = dict(sampler=dict(type='BLSSampler'))
"""
NEW_STYLE = """
from mmengine.dataset import DefaultSampler
from mmengine.hooks import EMAHook
train_dataloader = dict(
    batch_size=2, sampler=dict(type=DefaultSampler, shuffle=True))
custom_hooks = [dict(type=EMAHook)]
"""
needs = {
    name: pytest.mark.skipif(
        find_spec(name) is None, reason=f'{name} is not installed'
    )
    for name in ('mmdet', 'mmpretrain', 'mmseg')
}


def config(sampler=None, **settings):
    sampler = sampler or dict(type='DefaultSampler', shuffle=True)
    return Config(
        dict(train_dataloader=dict(batch_size=2, sampler=sampler), **settings)
    )


def write(folder, text):
    file = folder / 'config.py'
    file.write_text(text)
    return file


# add_pruning: the sampler


@pytest.mark.parametrize(
    'kind',
    [
        'DefaultSampler',
        'InfiniteSampler',
        'mmengine.DefaultSampler',
        DefaultSampler,
    ],
)
def test_add_pruning_takes_over_the_settings_of_a_plain_sampler(kind):
    base = config(dict(type=kind, shuffle=False, seed=7, _scope_='mmdet'))
    pruned = add_pruning(base)
    assert pruned.train_dataloader.sampler == dict(
        type='bls_mm.BLSSampler', pruner=INFOBATCH, shuffle=False, seed=7
    )
    assert pruned.train_dataloader.batch_size == 2


def test_add_pruning_works_on_a_new_style_config(tmp_path):
    pruned = add_pruning(load_config(write(tmp_path, NEW_STYLE)), 'seta')
    sampler = DATA_SAMPLERS.build(
        pruned.train_dataloader.sampler, default_args=dict(dataset=range(9))
    )
    assert isinstance(sampler, BLSSampler)
    assert type(sampler.pruner).__name__ == 'SeTa'
    assert len(pruned.custom_hooks) == 2


def test_add_pruning_puts_another_sampler_inside():
    inner = dict(type='ClassAwareSampler', num_sample_class=1)
    pruned = add_pruning(config(inner))
    assert pruned.train_dataloader.sampler.type == 'bls_mm.BLSSampler'
    assert pruned.train_dataloader.sampler.inner == inner


def test_add_pruning_leaves_its_input_alone():
    base = config(custom_hooks=[dict(type='EMAHook')], default_hooks={})
    before = base.pretty_text
    add_pruning(base, score='ema')
    assert base.pretty_text == before


def test_add_pruning_again_changes_only_the_pruner():
    base = config(dict(type='DefaultSampler', shuffle=False))
    once = add_pruning(base, 'seta', num_groups=3)
    twice = add_pruning(once, 'random', 0.3)
    assert twice.train_dataloader.sampler == dict(
        type='bls_mm.BLSSampler',
        pruner=dict(type='RandomPrune', prune_ratio=0.3),
        shuffle=False,
    )
    assert twice.custom_hooks == [HOOK]


@pytest.mark.parametrize(
    'name, settings, pruner',
    [
        ('infobatch', {}, INFOBATCH),
        ('InfoBatch', dict(prune_ratio=0), dict(**INFOBATCH, prune_ratio=0)),
        ('seta', dict(num_groups=3), dict(type='SeTa', num_groups=3)),
        ('random', {}, dict(type='RandomPrune')),
        ('RandomPrune', {}, dict(type='RandomPrune')),
        ('none', {}, None),
    ],
)
def test_add_pruning_finds_the_pruner_by_a_short_name(name, settings, pruner):
    pruned = add_pruning(config(), name, **settings)
    assert pruned.train_dataloader.sampler.pruner == pruner


# add_pruning: the hook


def test_add_pruning_keeps_the_hooks_of_the_base():
    ema = dict(type='EMAHook')
    assert add_pruning(config()).custom_hooks == [HOOK]
    assert add_pruning(config(custom_hooks=None)).custom_hooks == [HOOK]
    assert add_pruning(config(custom_hooks=[ema])).custom_hooks == [ema, HOOK]


@pytest.mark.parametrize('score', ['ema', 'EMAScore', 'emascore'])
def test_add_pruning_sets_the_score(score):
    (hook,) = add_pruning(config(), score=score).custom_hooks
    assert hook == dict(**HOOK, score=dict(type='EMAScore'))


def test_add_pruning_reuses_the_hook_of_the_base():
    base = config(
        default_hooks=dict(
            bls=dict(type='BLSHook', rescale_loss=False), timer=None
        )
    )
    assert has_pruning(base)
    pruned = add_pruning(base, score='ema')
    assert 'custom_hooks' not in pruned
    assert pruned.default_hooks.bls == dict(
        type='BLSHook', rescale_loss=False, score=dict(type='EMAScore')
    )


@pytest.mark.parametrize('by_name', [True, False])
def test_add_pruning_knows_a_hook_that_is_derived(by_name, monkeypatch):
    class OwnHook(BLSHook):
        pass

    monkeypatch.setitem(HOOKS.module_dict, 'OwnHook', OwnHook)
    kind = 'OwnHook' if by_name else OwnHook
    base = config(custom_hooks=[dict(type=kind)])
    assert has_pruning(base)
    (hook,) = add_pruning(base, score='ema').custom_hooks
    assert hook == dict(type=kind, score=dict(type='EMAScore'))


def test_add_pruning_keeps_the_settings_of_the_score_that_is_asked_for():
    score = dict(type=EMAScore, alpha=0.5)
    base = config(custom_hooks=[dict(type=BLSHook, score=score)])
    (hook,) = add_pruning(base, score='ema').custom_hooks
    assert hook == dict(type=BLSHook, score=score)
    (hook,) = add_pruning(base, score='ema:init=first').custom_hooks
    assert hook == dict(type=BLSHook, score=dict(**score, init='first'))


@pytest.mark.parametrize(
    ('spec', 'settings', 'per_sample'),
    [
        ('ema', {}, True),
        ('EMAScore:batch', {}, False),
        ('ema:alpha=0.7', dict(alpha=0.7), True),
        (
            'ema:batch:alpha=1e-1:init=first',
            dict(alpha=0.1, init='first'),
            False,
        ),
    ],
)
def test_parse_score(spec, settings, per_sample):
    found = parse_score(spec)
    assert found == (dict(type='EMAScore', **settings), per_sample)


@pytest.mark.parametrize('spec', ['ema:', 'ema:batches', 'ema:0=1', 'ema:=1'])
def test_parse_score_refuses_another_form(spec):
    with pytest.raises(ValueError, match=rf'alpha=0.7, but got {spec!r}'):
        parse_score(spec)


# add_pruning: errors


@pytest.mark.parametrize(
    'base, settings, error, message',
    [
        (dict(), {}, TypeError, r'`cfg` should be a Config, but got a dict'),
        (Config(), {}, ValueError, r'no `train_dataloader`'),
        (
            Config(dict(train_dataloader=[dict(), dict()])),
            {},
            ValueError,
            '`train_dataloader` lists 2 DataLoaders',
        ),
        (
            Config(dict(train_dataloader=dict(batch_size=2))),
            {},
            ValueError,
            r'no `train_dataloader.sampler`',
        ),
        (
            config(),
            dict(prune='magic'),
            ValueError,
            r"prune` 'magic'. Known: .*InfoBatch, .*SeTa, none\.",
        ),
        (
            config(),
            dict(score='magic'),
            ValueError,
            r"score` 'magic'. Known: .*EMAScore",
        ),
        (
            config(),
            dict(prune_ratio=1.2),
            ValueError,
            r'`prune_ratio` should be in \[0, 1\), but got 1.2',
        ),
        (
            config(),
            dict(prune='seta', window=0.5),
            TypeError,
            r"`train_dataloader.sampler.pruner`: .*'window'",
        ),
        (
            config(),
            dict(prune='none', prune_ratio=0.5),
            ValueError,
            r'`prune=none` accepts no settings, but got prune_ratio',
        ),
    ],
)
def test_add_pruning_refuses_with_a_reason(base, settings, error, message):
    with pytest.raises(error, match=message):
        add_pruning(base, **settings)


# Real configs


@pytest.mark.parametrize(
    'spec',
    [
        pytest.param(f'{package}::{name}', marks=needs[package])
        for package, name in [
            ('mmdet', 'retinanet/retinanet_r50_fpn_1x_coco.py'),
            ('mmpretrain', 'resnet/resnet18_8xb16_cifar10'),
            ('mmseg', 'pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'),
        ]
    ],
)
def test_zoo_configs_can_be_pruned(spec):
    base = load_config(spec)
    pruned = add_pruning(base)
    assert pruned.train_dataloader.sampler == dict(
        type='bls_mm.BLSSampler', pruner=INFOBATCH, shuffle=True
    )
    assert pruned.train_dataloader.dataset == base.train_dataloader.dataset
    assert pruned.model == base.model


@needs['mmpretrain']
@pytest.mark.slow
def test_a_zoo_config_inherits_and_builds_with_the_three_lines(tmp_path):
    base = "_base_ = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'"
    cfg = load_config(write(tmp_path, base + THREE_LINES))
    cfg.work_dir = str(tmp_path)
    runner = Runner.from_cfg(cfg)
    assert any(isinstance(hook, BLSHook) for hook in runner.hooks)
    sampler = DATA_SAMPLERS.build(
        cfg.train_dataloader.sampler,
        default_args=dict(dataset=range(9), seed=0),
    )
    assert isinstance(sampler, BLSSampler)


def test_the_demo_is_its_base_plus_the_three_lines():
    base = load_config(ROOT / 'configs/demo/resnet_mnist.py')
    pruned = load_config(ROOT / 'configs/demo/resnet_mnist-bls-infobatch.py')
    assert not has_pruning(base)
    assert isinstance(HOOKS.build(pruned.custom_hooks[0]), BLSHook)
    assert pruned.train_dataloader.sampler == dict(
        type='BLSSampler', shuffle=True
    )
    for key in ('model', 'param_scheduler', 'train_cfg', 'optim_wrapper'):
        assert pruned[key] == base[key]
