"""`tools/check_zoo.py`: what it passes, and that it sees what is wrong."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from mmengine.config import Config

from bls_mm import BLSHook
from bls_mm.passes import planner
from bls_mm.runner import loop
from bls_mm.samplers.batch_tracker import BatchTracker
from bls_mm.zoo_check.run import RecordingScore, check
from bls_mm.zoo_check.stubs import Scale, small_settings
from tools import check_zoo

TOOLS = Path(__file__).parents[2] / 'tools'

TOY = """
train_dataloader = dict(
    dataset=dict(type='BaseDataset'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_size=4,
    num_workers=2,
    persistent_workers=True)
train_cfg = dict(by_epoch=True, max_epochs=12)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', T_max=12, begin=0, end=12,
         convert_to_iter_based=True)]
"""
ZOO = {
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py': 'passed',
    'mmdet::retinanet/retinanet_r50_fpn_90k_coco.py': 'passed',
    # RepeatDataset, MultiImageMixDataset; hooks that switch the pipeline
    'mmdet::yolox/yolox_s_8xb8-300e_coco.py': 'passed',
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py': 'passed',
    # ClassBalancedDataset
    'mmdet::lvis/mask-rcnn_r50_fpn_sample1e-3_ms-1x_lvis-v1.py': 'passed',
    # ClassAwareSampler
    'mmdet::openimages/faster-rcnn_r50_fpn_32xb2-cas-1x_openimages.py': (
        'passed'
    ),
    # TrackImgSampler
    'mmdet::masktrack_rcnn/'
    'masktrack-rcnn_mask-rcnn_r50_fpn_8xb1-12e_youtubevis2019.py': 'passed',
    # GroupMultiSourceSampler
    'mmdet::soft_teacher/'
    'soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py': 'refused',
    'mmpretrain::resnet/resnet18_8xb16_cifar10.py': 'passed',
    # RepeatAugSampler
    'mmpretrain::resnet/resnet50_8xb256-rsb-a1-600e_in1k.py': 'passed',
    # `drop_last`
    'mmpretrain::mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k.py': 'passed',
    # PreciseBNHook
    'mmpretrain::regnet/regnetx-400mf_8xb128_in1k.py': 'passed',
    # Neither `type` nor `by_epoch` in `train_cfg`
    'mmpretrain::blip/blip-base_8xb32_caption.py': 'broken',
    # RepeatDataset, 40,000 times
    'mmseg::unet/unet-s5-d16_fcn_4xb4-40k_drive-64x64.py': 'passed',
    'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py': 'passed',
}


def verdict(folder, text=TOY):
    file = folder / 'config.py'
    file.write_text(text)
    return check(file, str(folder))


# Verdicts


@pytest.mark.parametrize(
    'old, new',
    [
        ('', ''),
        ('by_epoch=True, max_epochs=12', 'by_epoch=False, max_iters=9000'),
        ('    batch_size=4', '    drop_last=True, batch_size=4'),
        (
            "dict(type='BaseDataset')",
            "dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', "
            "times=3, dataset=dict(type='BaseDataset')), "
            "dict(type='ClassBalancedDataset', oversample_thr=1e-3, "
            "dataset=dict(type='BaseDataset'))])",
        ),
    ],
)
def test_good_config_passes(tmp_path, old, new):
    result = verdict(tmp_path, TOY.replace(old, new, 1))
    assert result == dict(verdict='passed', reason='')


@pytest.mark.parametrize(
    'old, new, expected, reason',
    [
        ("    sampler=dict(type='DefaultSampler', shuffle=True),\n", '')
        + ('refused', 'ValueError: The config has no'),
        ('by_epoch=True, ', '', 'broken', "KeyError: 'by_epoch'"),
        ('train_cfg =', 'test_cfg =', 'no training', ''),
        ('train_cfg =', 'train_cfg = = ', 'unreadable', 'SyntaxError'),
    ],
)
def test_bad_config_is_told_apart(tmp_path, old, new, expected, reason):
    result = verdict(tmp_path, TOY.replace(old, new))
    assert result['verdict'] == expected
    assert result['reason'].startswith(reason)


record = RecordingScore.update


def shifted(self, scores, indices, loss):
    self.calls = getattr(self, 'calls', 0) + 1
    record(self, scores, (indices + (self.calls > 8)) % len(scores), loss)


def only_one(self, scores, indices, loss):
    record(self, scores, indices[:1], loss)


@pytest.mark.parametrize(
    'target, name, replacement, reason',
    [
        (RecordingScore, 'update', shifted, 'scored sample'),
        (RecordingScore, 'update', only_one, 'for a batch of'),
        (planner, 'is_pruned', lambda *_: False, 'nothing was pruned'),
        (loop, 'step_schedulers', lambda *_: None, '_global_step'),
        (loop, 'set_max_iters', lambda *_: None, 'announced'),
        (BLSHook, 'visited', 7, 'samples visited: 7'),
    ],
)
def test_defect_is_found(
    tmp_path, monkeypatch, target, name, replacement, reason
):
    monkeypatch.setattr(target, name, replacement)
    result = verdict(tmp_path)
    assert result['verdict'] == 'FAILED'
    assert reason in result['reason']


def test_own_error_in_mid_run_is_no_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(BatchTracker, 'record', lambda self, batches: batches)
    result = verdict(tmp_path)
    assert result['verdict'] == 'FAILED'
    assert 'lost track' in result['reason']


# Making a config small


def test_dataset_is_replaced_below_its_wrappers():
    image = dict(type='BaseDataset', pipeline=[dict(type='Unknown')])
    cfg = Config(
        dict(
            train_dataloader=dict(
                batch_size=4,
                sampler=dict(type='DefaultSampler'),
                dataset=dict(
                    type='RepeatDataset',
                    times=40000,
                    dataset=dict(type='ConcatDataset', datasets=[image] * 3),
                ),
            ),
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=20000),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        )
    )
    settings = small_settings(cfg)
    dataset = settings['train_dataloader']['dataset']
    assert len(dataset) == 40000 * 21
    assert [dataset[i]['number'] for i in (0, 20, 21)] == [0, 20, 0]
    assert settings['train_cfg']['max_iters'] == 21  # 4 passes of 5.25


def test_schedule_is_shortened_in_proportion():
    warm_up = dict(type='LinearLR', by_epoch=False, begin=0, end=500)
    steps = dict(type='MultiStepLR', begin=5, end=12, milestones=[8, 11])
    tail = dict(type='ConstantLR', begin=11, end=12)
    scale = Scale(dict(max_epochs=12), 10, [warm_up, steps, tail])
    assert scale.cfg == dict(max_epochs=4)
    assert scale.scheduler(warm_up)['end'] == 10
    assert scale.scheduler(steps) == dict(
        type='MultiStepLR', begin=2, end=4, milestones=[3, 4]
    )
    assert scale.scheduler(tail) == dict(type='ConstantLR', begin=3, end=4)


# Workers and the command line


def test_hang_and_crash_cost_one_config(tmp_path):
    crash, good = tmp_path / 'crash.py', tmp_path / 'good.py'
    crash.write_text("__import__('os')._exit(1)")
    good.write_text(TOY)
    (hang,) = check_zoo.sweep([good], timeout=0)
    crashed, passed = check_zoo.sweep([crash, good])
    assert hang['verdict'] == crashed['verdict'] == 'FAILED'
    assert hang['reason'] == 'no end after 0 s'
    assert crashed['reason'] == 'the process died'
    assert passed['verdict'] == 'passed'
    assert passed['path'] == str(good)


@pytest.mark.parametrize(
    'verdicts, expected',
    [
        (['passed'] * 99 + ['broken'], 0),
        (['passed'] * 98 + ['broken', 'refused'], 1),
        (['passed'] * 199 + ['FAILED'], 1),
        (['passed', 'unreadable', 'no training'], 0),
    ],
)
def test_exit_status_is_the_goal(monkeypatch, capsys, verdicts, expected):
    def sweep(paths, workers, timeout):
        for path, kind in zip(paths, verdicts):
            yield dict(path=path, verdict=kind, reason='')

    def find_configs(package, patterns):
        return {f'{i}.py': f'mmdet::{i}.py' for i in range(len(verdicts))}

    monkeypatch.setattr(check_zoo, 'sweep', sweep)
    monkeypatch.setattr(check_zoo, 'find_configs', find_configs)
    assert check_zoo.main(['--packages', 'mmdet']) == expected
    row = capsys.readouterr().out.split('\n')[-2].split()
    counted = [v for v in verdicts if v in check_zoo.VERDICTS]
    assert row[:3] == ['all', str(len(counted)), str(counted.count('passed'))]


@pytest.mark.slow
def test_zoo_configs_get_the_expected_verdict(tmp_path):
    packages = [p for p in check_zoo.PACKAGES if find_spec(p) is not None]
    if not packages:
        pytest.skip('no package with a zoo is installed')
    expected = {k: v for k, v in ZOO.items() if k.split('::')[0] in packages}
    file = tmp_path / 'results.json'
    command = [sys.executable, str(TOOLS / 'check_zoo.py'), '--json', file]
    command += ['--workers=1', '--goal=0', '--packages', *packages]
    done = subprocess.run([*command, '--filter', *expected])
    results = json.loads(file.read_text())
    assert {r['name']: r['verdict'] for r in results} == expected, results
    assert done.returncode == 0
