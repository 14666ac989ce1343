"""Config files that are written: they give the config that was meant."""

from importlib.util import find_spec

import pytest
from toy import hook_of

from bls_mm.config import add_pruning, write_config
from bls_mm.runner.build import build_runner, make_config
from bls_mm.zoo import load_config

BASE = """
model = dict(type='ToyModel')
train_dataloader = dict(
    dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_size=4,
    num_workers=0,
    collate_fn=dict(type='default_collate'))
train_cfg = dict(by_epoch=True, max_epochs=4)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=4))
default_scope = 'mmengine'
"""
NEW_STYLE = f"""
from mmengine.dataset import DefaultSampler
from mmengine.hooks import EMAHook
{BASE.replace("'DefaultSampler'", 'DefaultSampler')}
custom_hooks = [dict(type=EMAHook)]
"""
PLAIN = "sampler=dict(type='DefaultSampler', shuffle=True)"
BLS = """sampler=dict(
        type='bls_mm.BLSSampler',
        round_up=False,
        pruner=dict(type='RandomPrune', prune_ratio=0.3, delta=0.5))"""
EMA = dict(type='EMAHook')


def make(folder, text, **options):
    """The base config and the file that was made for it."""
    base = folder / 'base_config.py'
    base.write_text(text)
    return base, write_config(base, folder / 'made' / 'config.py', **options)


def settings_of(cfg):
    """The settings that pruning may change, whatever a type is called."""
    cfg = cfg.to_dict()
    keys = ('train_dataloader', 'custom_hooks', 'default_hooks')
    return {key: stripped(cfg.get(key)) for key in keys}


def stripped(value):
    if isinstance(value, dict):
        # MMEngine adds the scope where it loads a config of a package.
        return {k: stripped(v) for k, v in value.items() if k != '_scope_'}
    if isinstance(value, (list, tuple)):
        return [stripped(item) for item in value]
    return value.replace('bls_mm.', '') if isinstance(value, str) else value


# The text


def test_plain_config_gets_three_lines(tmp_path):
    _, file = make(tmp_path, BASE, prune_ratio=0.3)
    assert (
        file.read_text()
        == """\
_base_ = '../base_config.py'

custom_imports = dict(imports=['bls_mm'], allow_failed_imports=False)
train_dataloader = dict(
    sampler=dict(
        type='BLSSampler',
        pruner=dict(type='InfoBatch', prune_ratio=0.3),
    ),
)
custom_hooks = [dict(type='BLSHook')]
"""
    )


def test_custom_imports_and_hooks_of_the_base_are_kept(tmp_path):
    own = "custom_imports = dict(imports=['toy'])\n"
    own += f'custom_hooks = [{EMA}]\n'
    base, file = make(tmp_path, BASE + own, prune='seta', score='ema')
    text = file.read_text()
    assert '[\n    *_base_.custom_hooks,\n' in text
    cfg = load_config(file)
    assert cfg.custom_imports == dict(imports=['toy'])
    assert [hook['type'] for hook in cfg.custom_hooks] == [
        'EMAHook',
        'bls_mm.BLSHook',
    ]


def test_special_sampler_is_wrapped(tmp_path):
    text = BASE.replace(
        PLAIN, "sampler=dict(type='SpecialSampler', times=3, inner_seed=1)"
    )
    _, file = make(tmp_path, text, prune='none')
    assert 'inner=_base_.train_dataloader.sampler' in file.read_text()
    assert load_config(file).train_dataloader.sampler == dict(
        type='BLSSampler',
        pruner=None,
        inner=dict(type='SpecialSampler', times=3, inner_seed=1),
    )


def test_new_style_config_is_imported(tmp_path):
    _, file = make(tmp_path, NEW_STYLE, prune='random')
    assert (
        file.read_text()
        == """\
from mmengine.config import read_base

with read_base():
    from ..base_config import *

train_dataloader.sampler = dict(
    type='bls_mm.BLSSampler',
    shuffle=True,
    pruner=dict(type='RandomPrune'),
)
custom_hooks = [*custom_hooks, dict(type='bls_mm.BLSHook')]
"""
    )


# What it stands for


@pytest.mark.parametrize(
    'options',
    [
        dict(prune='infobatch'),
        dict(prune='seta', target_saving=0.2, score='ema:batch'),
        dict(prune='none'),
    ],
)
@pytest.mark.parametrize(
    'text',
    [
        BASE,
        NEW_STYLE,
        BASE.replace(PLAIN, "sampler=dict(type='InfiniteSampler')"),
        BASE.replace(
            PLAIN, "sampler=dict(type='DefaultSampler', unknown=True)"
        ),
        BASE.replace(PLAIN, "sampler=dict(type='SpecialSampler')"),
        NEW_STYLE.replace(
            PLAIN.replace("'DefaultSampler'", 'DefaultSampler'),
            "sampler=dict(type='SpecialSampler', times=2)",
        ),
        BASE.replace(PLAIN, BLS) + f'custom_hooks = [{EMA}]',
        BASE.replace(PLAIN, BLS)
        + f"custom_hooks = [dict(type='BLSHook', loss_key='a'), {EMA}]",
        BASE.replace(PLAIN, BLS)
        + "default_hooks['bls'] = dict(type='BLSHook', loss_key='a')",
        NEW_STYLE + "default_hooks['bls'] = dict(type='BLSHook')",
    ],
)
def test_made_config_is_what_add_pruning_gives(tmp_path, text, options):
    base, file = make(tmp_path, text, **options)
    wanted = add_pruning(load_config(base), **options)
    assert settings_of(load_config(file)) == settings_of(wanted)


@pytest.mark.parametrize('text', [BASE, NEW_STYLE])
def test_made_config_trains(tmp_path, text):
    _, file = make(tmp_path, text)
    config = make_config(file, work_dir=str(tmp_path / 'run'))
    config.experiment_name = tmp_path.name  # by default a time in seconds
    runner = build_runner(config)
    runner.train()
    assert hook_of(runner).visited < hook_of(runner).visited_unpruned == 160


@pytest.mark.parametrize(
    'name, base',
    [
        (
            'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
            "_base_ = 'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py'\n",
        ),
        (
            'mmpretrain::resnet/resnet50_8xb256-rsb-a1-600e_in1k',
            "_base_ = 'mmpretrain::resnet/"
            "resnet50_8xb256-rsb-a1-600e_in1k.py'\n",
        ),
        # a folder that MMEngine does not take
        (
            'mmdet::legacy_1.x/retinanet_r50_fpn_1x_coco_v1.py',
            '_base_ = str(',
        ),
        (
            'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py',
            '_base_ = str(',
        ),
        # has custom_imports
        (
            'mmseg::convnext/'
            'convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py',
            '_base_ = str(',
        ),
    ],
)
@pytest.mark.filterwarnings('default')  # of MMEngine about metafiles
def test_zoo_config_is_inherited(tmp_path, name, base):
    if find_spec(name.partition('::')[0]) is None:
        pytest.skip('the package is not installed')
    file = write_config(name, tmp_path / 'config.py')
    assert file.read_text().startswith(base)
    wanted = add_pruning(load_config(name))
    assert settings_of(load_config(file)) == settings_of(wanted)


# Refusals


def test_existing_file_is_overwritten_by_force_only(tmp_path):
    _, file = make(tmp_path, BASE)
    text = file.read_text()
    with pytest.raises(FileExistsError, match='exists. Use `--force`'):
        make(tmp_path, BASE, prune='random')
    assert file.read_text() == text
    make(tmp_path, BASE, prune='random', force=True)
    assert 'RandomPrune' in file.read_text()


def test_config_is_not_overwritten_by_what_inherits_from_it(
    tmp_path, monkeypatch
):
    base = tmp_path / 'base.py'
    base.write_text(BASE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='inherit from itself: `output`'):
        write_config('base.py', base, force=True)
    assert base.read_text() == BASE


def test_wrong_setting_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match=r'`prune_ratio` should be in \[0, 1'):
        make(tmp_path, BASE, prune_ratio=2)
    assert not (tmp_path / 'made').exists()


def test_new_style_base_that_python_cannot_import_is_refused(tmp_path):
    base = tmp_path / '8xb2-pruned.py'
    base.write_text(NEW_STYLE)
    with pytest.raises(ValueError, match='`8xb2-pruned` of .* is not a name'):
        write_config(base, tmp_path / 'out.py')
