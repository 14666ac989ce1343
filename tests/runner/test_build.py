"""The config that the options of `bls_mm train` ask for."""

from pathlib import Path

import pytest

from bls_mm.config import add_hook, has_pruning
from bls_mm.config import options as config_options
from bls_mm.runner.build import make_config

DEMO = Path(__file__).parents[2] / 'configs/demo/resnet_mnist.py'
CONFIG = """
train_dataloader = dict(
    batch_size=2,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=True),
)
"""


def make(folder, text=CONFIG, **options):
    file = folder / 'config.py'
    file.write_text(text)
    return make_config(file, **options)


def test_config_without_options_stays_as_it_is(tmp_path):
    cfg = make(tmp_path)
    assert cfg.work_dir == str(Path('work_dirs', 'config'))
    assert cfg.launcher == 'none'
    assert cfg.train_dataloader.sampler.type == 'DefaultSampler'
    assert 'resume' not in cfg and not has_pruning(cfg)


def test_target_is_refused_before_data_are_read(tmp_path):
    text = f'{CONFIG}train_cfg = dict(by_epoch=True, max_epochs=10)'
    with pytest.raises(ValueError, match=r'at most 0\.81 in a run of 10 pas'):
        make(tmp_path, text, prune='random', target_saving=0.85)
    longer = {'train_cfg.max_epochs': 100}
    make(
        tmp_path, text, prune='random', target_saving=0.85, cfg_options=longer
    )


def test_cfg_options_override_pruning(tmp_path):
    cfg = make(
        tmp_path,
        prune='seta',
        score='ema',
        cfg_options={'train_dataloader.sampler.pruner.delta': 0.5},
    )
    assert cfg.train_dataloader.sampler.pruner == dict(type='SeTa', delta=0.5)
    assert cfg.custom_hooks[0].score.type == 'EMAScore'


@pytest.mark.parametrize(
    'text, resume, expected',
    [
        ('resume = True', None, (True, None)),
        ("load_from = 'a.pth'", 'auto', (True, None)),
        ('resume = False', 'b.pth', (True, 'b.pth')),
        ("load_from = 'a.pth'", None, (None, 'a.pth')),
    ],
)
def test_resume_goes_before_the_config(tmp_path, text, resume, expected):
    cfg = make(tmp_path, text, resume=resume)
    assert (cfg.get('resume'), cfg.get('load_from')) == expected


def test_dataloaders_of_mmpretrain_are_completed(tmp_path):
    scope = "default_scope = 'mmpretrain'\n"
    text = (
        'train_dataloader = dict(num_workers=0)\n'
        'val_dataloader = dict(num_workers=2, persistent_workers=False)\n'
    )
    cfg = make(tmp_path, scope + text)
    assert cfg.train_dataloader.collate_fn == dict(type='default_collate')
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.val_dataloader.persistent_workers is False
    assert 'collate_fn' not in make(tmp_path, text).train_dataloader


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(auto_scale_lr=True), 'needs `auto_scale_lr.base_batch_size`'),
        (dict(prune='magic'), 'Known: Importance'),
        (dict(amp=True), '`--amp` needs a GPU'),
    ],
)
def test_option_that_cannot_be_used_is_refused(
    tmp_path, monkeypatch, settings, message
):
    monkeypatch.setattr(config_options, 'get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match=message):
        make(tmp_path, **settings)


def test_pictures_are_drawn_where_data_is_pruned():
    for prune, expected in ((None, 0), ('none', 1)):
        cfg = make_config(DEMO, prune=prune)
        assert str(cfg).count('BLSVisualizationHook') == expected
    add_hook(cfg, 'BLSVisualizationHook')
    assert str(cfg).count('BLSVisualizationHook') == 1


def test_hooks_that_are_default_ones_are_not_added_again(tmp_path):
    hooks = 'bls=dict(type="bls_mm.BLSHook"), '
    hooks += 'shown=dict(type="bls_mm.BLSVisualizationHook")'
    for names, expected in ((hooks, 0), (hooks.partition(',')[0], 1)):
        text = f'_base_ = {str(DEMO)!r}\ndefault_hooks = dict({names})'
        cfg = make(tmp_path, text, prune='infobatch')
        assert len(cfg.get('custom_hooks') or []) == expected
