"""A model of each package of the zoo is trained, resumed and reported on.

mmdet, mmpretrain and mmseg have tests of their own. Here are the others,
where they are installed: real configs, made small, on small data in the
format of the package.
"""

from importlib.util import find_spec

import numpy as np
import pytest
import sister_data
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from sister_data import SAMPLES
from small_configs import replace, resize, settle, shrink
from toy import StopAt, hook_of

from bls_mm.commands import report, train
from bls_mm.zoo import load_config

BATCH, EPOCHS, SAVING = 4, 8, 0.3
STOP, SAVE = 9, 4  # iteration to stop before, and interval of checkpoints
FULL = SAMPLES // BATCH

# Of every config: transforms and hooks that need more than is installed or
# than the small data have.
LEFT_OUT = {'Albumentation', 'ObjectSample', 'ObjectNoise'}
HOOKS_LEFT_OUT = {'VisualizationHook', 'BasicVisualizationHook'}


HOOKS.register_module(module=StopAt, force=True)


@HOOKS.register_module(force=True)
class Seen(Hook):
    """Remember the runner, and whether samples of a batch differ in score."""

    runner = None
    priority = 'VERY_LOW'

    def before_train(self, runner):
        Seen.runner = runner
        self.distinct = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        scores = hook_of(runner).scores
        self.distinct.append(len(scores[scores != 0].unique()))


# Of each package: what is smaller in its config. `None` is any value.
FPN = [256, 512, 1024, 2048]


def small_resnet(node):
    """Of mmdet and mmpose; its last stage has 64 channels then."""
    if str(node.get('type')).endswith('ResNet'):
        node.update(depth=18, base_channels=8, stem_channels=8)


def small_pose(node, root):
    small_resnet(node)
    replace(
        node,
        dict(
            in_channels=(2048, 64),
            input_size=((192, 256), (64, 96)),
            heatmap_size=((48, 64), (16, 24)),
            in_featuremap_size=((6, 8), (2, 3)),
            deepen_factor=(None, 0.167),
            widen_factor=(None, 0.125),
            data_root=(None, f'{root}/'),
        ),
    )
    if node.get('type') == 'RTMCCHead':
        node['in_channels'] = 128


def small_video(node, root):
    replace(
        node,
        dict(
            depth=(50, 18),
            in_channels=(2048, 512),
            num_classes=(None, 2),
            input_size=(224, 32),
            scale=((-1, 256), (-1, 40)),
            ann_file=(None, f'{root}/list.txt'),
        ),
    )
    if node.get('scale') == (224, 224):
        node['scale'] = (32, 32)
    if node.get('type') == 'VideoDataset':
        node['data_prefix'] = dict(video=str(root))


def small_points(node, root):
    around = {-39.68: -5.12, 69.12: 10.24, 39.68: 5.12}
    for key in node.keys() & {'point_cloud_range', 'ranges'}:
        node[key] = near(node[key], around)
    replace(
        node,
        dict(
            output_shape=([496, 432], [64, 64]),
            in_channels=([64, 128, 256], [8, 16, 32]),
            data_root=(None, f'{root}/'),
            feat_channels=(384, 24),
            times=(2, 1),
        ),
    )
    if node.get('type') == 'SECOND':
        node.update(out_channels=[8, 16, 32], layer_nums=[1, 1, 1])
    if node.get('type') == 'SECONDFPN':
        node['out_channels'] = [8, 8, 8]
    if node.get('type') == 'Anchor3DHead':
        node['in_channels'] = 24


def near(value, around):
    if isinstance(value, (list, tuple)):
        return [near(item, around) for item in value]
    return around.get(value, value)


def small_aerial(node, root):
    small_resnet(node)
    replace(
        node,
        dict(
            in_channels=(FPN, [8, 16, 32, 64]),
            out_channels=(256, 32),
            feat_channels=(256, 32),
            stacked_convs=(4, 1),
            scale=((1024, 1024), (96, 96)),
            data_root=(None, f'{root}/'),
        ),
    )
    if node.get('type') == 'mmdet.RetinaHead':
        node['in_channels'] = 32


def small_yolo(node, root):
    for key in node.keys() & {'img_scale', 'scale', 'crop_size', 'size'}:
        node[key] = resize(node[key], lambda n: n // 10)
    replace(
        node,
        dict(
            widen_factor=(None, 0.125),
            num_classes=(80, 1),
            data_root=(None, f'{root}/'),
        ),
    )
    if node.get('type') == 'YOLOv5CocoDataset':
        node['metainfo'] = dict(classes=('person',))


def small_words(node, root):
    replace(node, dict(data_root=(None, str(root))))


def small_images(node, root):
    replace(
        node,
        dict(
            mid_channels=(64, 8),
            num_blocks=(None, 1),
            growth_channels=(32, 4),
            gt_patch_size=(196, 32),
            perceptual_loss=(None, None),  # has weights to download
            data_root=(None, str(root)),
        ),
    )
    if node.get('type') == 'BasicImageDataset':
        node['ann_file'] = ''
        if 'img' in (node.get('data_prefix') or {}):
            node['data_prefix'] = dict(img='small', gt='large')


# Config, data, what is smaller, and whether the model computes losses of
# single samples that are heard.
CASES = {
    'mmpose::body_2d_keypoint/topdown_heatmap/coco/'
    'td-hm_res50_8xb64-210e_coco-256x192.py': ('people', small_pose, True),
    'mmpose::body_2d_keypoint/rtmpose/coco/'
    'rtmpose-m_8xb256-420e_coco-256x192.py': ('people', small_pose, True),
    'mmaction::recognition/tsn/'
    'tsn_imagenet-pretrained-r50_8xb32-1x1x3-100e_kinetics400-rgb.py': (
        'videos',
        small_video,
        True,
    ),
    'mmdet3d::pointpillars/pointpillars_hv_secfpn_8xb6-160e_kitti-3d-3class.py'
    '': ('points', small_points, False),
    'mmrotate::rotated_retinanet/'
    'rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py': (
        'aerial',
        small_aerial,
        False,
    ),
    'mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py': (
        'people',
        small_yolo,
        False,
    ),
    'mmocr::textrecog/crnn/crnn_mini-vgg_5e_toy.py': (
        'words',
        small_words,
        True,
    ),
    'mmagic::edsr/edsr_x4c64b16_1xb16-300k_div2k.py': (
        'pairs',
        small_images,
        True,
    ),
    'mmagic::esrgan/esrgan_x4c64b23g32_1xb16-400k_div2k.py': (
        'pairs',
        small_images,
        True,
    ),
}
HERE = [name for name in CASES if find_spec(name.partition('::')[0])]


def small_config(name, data, work_dir):
    """A config of the zoo on small data, without validation."""
    _, smaller, _ = CASES[name]

    def change(node):
        for key, value in node.items():
            if isinstance(value, list):
                node[key] = [each for each in value if not left_out(each)]
        smaller(node, data)

    cfg = shrink(load_config(name), change)
    settle(cfg, work_dir, BATCH)
    for part in ('dataloader', 'evaluator', 'cfg'):
        for split in ('val', 'test'):
            cfg[f'{split}_{part}'] = None
    cfg.train_cfg.pop('dynamic_intervals', None)
    if 'max_iters' in cfg.train_cfg:
        cfg.train_cfg.max_iters = EPOCHS * FULL
    else:
        cfg.train_cfg.max_epochs = EPOCHS
    hooks = [h for h in cfg.get('custom_hooks') or [] if not left_out(h)]
    for hook in hooks:
        if 'switch_epoch' in hook:
            hook['switch_epoch'] = EPOCHS - 2
    cfg.custom_hooks = [*hooks, dict(type='Seen')]
    cfg.default_hooks.checkpoint = dict(
        type='CheckpointHook', interval=SAVE, by_epoch=False
    )
    return cfg


def left_out(node):
    kind = str(node.get('type')) if isinstance(node, dict) else ''
    return kind.rpartition('.')[-1] in LEFT_OUT | HOOKS_LEFT_OUT


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')  # of the packages, of their time
@pytest.mark.parametrize('name', HERE)
def test_model_is_trained_resumed_and_reported_on(name, tmp_path, capsys):
    kind, _, is_heard = CASES[name]
    data, work_dir = tmp_path / 'data', tmp_path / 'run'
    write = getattr(sister_data, f'write_{kind}')
    write(data, np.random.default_rng(0))
    cfg = small_config(name, data, work_dir)
    file = tmp_path / 'small.py'
    words = [str(file), '--prune', 'infobatch', '--target-saving', str(SAVING)]

    stopped = cfg.copy()
    stopped.custom_hooks = [
        *cfg.custom_hooks,
        dict(type='StopAt', iteration=STOP),
    ]
    stopped.dump(file)
    with pytest.raises(KeyboardInterrupt):
        train.main(words)
    first = Seen.runner
    done = STOP // SAVE * SAVE  # by the last checkpoint
    state = torch.load(work_dir / f'iter_{done}.pth', weights_only=False)
    assert state['bls']['done'] and not state['bls']['finished']
    seen = hook_of(first, 'Seen')
    assert (seen.distinct[FULL - 1] > FULL) == is_heard

    cfg.experiment_name += 'resumed'
    cfg.dump(file)
    train.main([*words, '--resume'])
    runner = Seen.runner
    hook = hook_of(runner)
    assert runner is not first
    assert len(hook.scores) == SAMPLES
    assert torch.isfinite(hook.scores).all() and (hook.scores != 0).all()
    seen = hook_of(runner, 'Seen')
    assert done + len(seen.distinct) == runner.iter == runner.max_iters
    saved = 1 - hook.visited / hook.visited_unpruned
    assert abs(saved - SAVING) < 0.03

    capsys.readouterr()
    report.main([str(work_dir)])
    assert 'Wrote ' in capsys.readouterr().out
