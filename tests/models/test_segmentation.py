"""Real mmseg configs of the zoo, made small, on scenes of MNIST digits."""

import time

import pytest
import torch
from mmengine.runner import Runner
from small_configs import Visits, name_run, replace, settle, shrink
from toy import StopAt, Validated, hook_of

from bls_mm.config.pruning import add_pruning
from bls_mm.zoo import load_config

pytest.importorskip('mmseg')
pytest.importorskip('mlxtend')

SCENES, BATCH, ITERS = 12, 2, 30  # five passes
PSPNET = 'pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py'
UNET = 'unet/unet-s5-d16_pspnet_4xb4-40k_drive-64x64.py'  # RepeatDataset
UPERNET = 'upernet/upernet_r18_4xb4-80k_ade20k-512x512.py'
CHANNELS = {2048: 64, 1024: 32, 256: 32, 128: 8, 64: 4}
WORKERS = dict(num_workers=1, persistent_workers=True)


# Configs


def small_config(name, scenes, work_dir, **loader):
    """A config of the zoo on the scenes, with small images and networks."""

    def change(node):
        kind = node.get('type')
        if kind == 'ResNetV1c':
            node.update(depth=18, base_channels=8, stem_channels=8)
        elif kind == 'UNet':
            node.update(base_channels=4)
        elif kind == 'LoadAnnotations':
            node.pop('reduce_zero_label', None)
        elif kind in ('Resize', 'RandomResize') and 'scale' in node:
            node['scale'] = (128, 96)
        elif kind == 'RandomCrop':
            node['crop_size'] = (64, 64)
        elif kind in ('ADE20KDataset', 'DRIVEDataset'):
            node.update(
                type='BaseSegDataset',
                data_root=str(scenes),
                data_prefix=dict(
                    img_path='images/train', seg_map_path='semantic/train'
                ),
                img_suffix='.png',
                seg_map_suffix='.png',
                metainfo=dict(classes=('background', *'0123456789')),
            )
        elif kind in ('PSPHead', 'FCNHead', 'UPerHead'):
            node['channels'] = 8
        replace(node, dict(num_classes=(None, 11)))
        width = node.get('in_channels')
        if width == [64, 128, 256, 512]:
            node['in_channels'] = [8, 16, 32, 64]
        elif width in CHANNELS:
            node['in_channels'] = CHANNELS[width]

    cfg = shrink(load_config(f'mmseg::{name}'), change)
    settle(cfg, work_dir, BATCH)
    cfg.merge_from_dict(
        dict(
            model=dict(
                data_preprocessor=dict(size=(64, 64)),
                test_cfg=dict(mode='whole'),
            ),
            train_cfg=dict(max_iters=ITERS, val_interval=10),
            default_hooks=dict(checkpoint=dict(interval=5)),
        )
    )
    cfg.train_dataloader.update(loader)
    cfg.param_scheduler[0].end = ITERS
    return cfg


def make_runner(cfg, prune='infobatch', **changes):
    """A runner with pruning and the hook that says what it visits."""
    cfg = add_pruning(cfg, prune)
    cfg.update(changes)
    name_run(cfg)
    runner = Runner.from_cfg(cfg)
    visits = Visits()
    runner.register_hook(visits)
    return runner, visits


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    """Fail where MMEngine would sleep two seconds between passes."""
    sleep = time.sleep

    def short(seconds):
        if seconds >= 1:
            raise RuntimeError(f'slept for {seconds} s')
        sleep(seconds)

    monkeypatch.setattr('mmengine.runner.loops.time.sleep', short)


# Runs


@pytest.mark.parametrize(
    'name, workers', [(PSPNET, 1), (UNET, 0), (UNET, 1), (UPERNET, 0)]
)
def test_run_ends_with_its_schedule(scenes, tmp_path, name, workers):
    loader = WORKERS if workers else {}
    runner, visits = make_runner(
        small_config(name, scenes, tmp_path, **loader)
    )
    validated = Validated()
    runner.register_hook(validated)
    runner.train()
    hook = hook_of(runner)
    assert runner.iter == runner.max_iters == len(visits.images) < ITERS
    assert hook.scores.shape == (SCENES,)
    assert (hook.scores > 0).all()
    assert visits.scored == visits.images
    # A pass is one over the distinct images, however often they repeat.
    kept = runner.message_hub.log_scalars['train/bls_kept'].data[0]
    assert len(kept) == ITERS * BATCH // SCENES
    assert kept[0] == 1 > min(kept)
    assert hook.visited_unpruned == ITERS * BATCH
    assert hook.visited == BATCH * runner.iter
    # The poly schedule has come to its end, and not beyond.
    (scheduler,) = runner.param_schedulers
    assert scheduler._global_step == ITERS
    assert visits.rates == sorted(visits.rates, reverse=True)
    assert validated.at[:2] == [10, 20]
    metrics = runner.message_hub.log_scalars
    assert 'val/mIoU' in metrics or 'val/mDice' in metrics
    assert (tmp_path / f'iter_{runner.iter}.pth').exists()


@pytest.mark.parametrize('name', [PSPNET, UNET])
def test_resumed_run_continues_where_it_stopped(
    scenes, tmp_path, name, monkeypatch
):
    cfg = small_config(name, scenes, tmp_path / 'broken')
    cfg.train_cfg.val_interval = ITERS
    # MMEngine does not resume augmentations: losses differ, and with them what
    # a rule that looks at scores selects.
    broken, _ = make_runner(cfg, 'random')
    broken.register_hook(StopAt(18))
    with pytest.raises(KeyboardInterrupt):
        broken.train()

    resumed, visits = make_runner(cfg, 'random', resume=True)
    dataset = resumed.train_dataloader.dataset
    loaded = []
    original = type(dataset).__getitem__

    def recorded(self, index):
        if self is dataset:  # the class may be that of the validation, too
            loaded.append(index)
        return original(self, index)

    monkeypatch.setattr(type(dataset), '__getitem__', recorded)
    resumed.train()
    trained = [image for batch in visits.images for image in batch]
    assert [i % SCENES for i in loaded] == trained

    whole = str(tmp_path / 'whole')
    reference, expected = make_runner(cfg, 'random', work_dir=whole)
    reference.train()
    start = len(expected.images) - len(visits.images)
    assert start == 15
    assert visits.images == expected.images[start:]
    assert visits.rates == expected.rates[start:]
    assert torch.equal(
        hook_of(resumed).scores > 0, hook_of(reference).scores > 0
    )
