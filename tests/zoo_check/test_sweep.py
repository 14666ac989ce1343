"""Checking many configs: workers, and real configs of installed packages."""

import multiprocessing
from importlib.util import find_spec

import pytest
import ranks  # noqa: F401  says what is imported before a fork

from bls_mm.zoo_check import find_configs, format_results, sweep

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


def test_hang_and_crash_cost_one_config(tmp_path, monkeypatch):
    context = multiprocessing.get_context('forkserver')  # starts faster
    monkeypatch.setattr(multiprocessing, 'get_context', lambda _: context)
    crash, hang, no_training = (
        tmp_path / f'{name}.py' for name in ('crash', 'hang', 'no_training')
    )
    crash.write_text("__import__('os')._exit(1)")
    hang.write_text("__import__('time').sleep(100)")
    no_training.write_text('test_cfg = dict()\n')
    (hung,) = sweep([hang], timeout=1)
    crashed, good = sweep([crash, no_training])
    assert hung['verdict'] == crashed['verdict'] == 'FAILED'
    assert hung['reason'] == 'no end after 1 s'
    assert crashed['reason'] == 'the process died'
    assert good['verdict'] == 'no training'
    assert good['path'] == str(no_training)


def test_sweep_needs_a_worker():
    with pytest.raises(ValueError, match=r'`workers` should be in \[1, '):
        next(sweep(['config.py'], workers=0))


def test_find_configs_of_a_missing_package():
    with pytest.raises(FileNotFoundError, match='`mmnothing` is not inst'):
        find_configs('mmnothing')


def test_report_lists_what_did_not_pass_and_counts_by_package():
    results = [
        dict(name='b::x.py', verdict='passed', reason=''),
        dict(name='a::y.py', verdict='FAILED', reason='KeyError: 1'),
        dict(name='a::x.py', verdict='no training', reason=''),
    ]
    lines = format_results(results).splitlines()
    assert [line.split() for line in lines[:2]] == [
        ['FAILED', 'a::y.py'],
        ['KeyError:', '1'],
    ]
    rows = [line.split() for line in lines[-3:]]
    assert rows == [
        ['a', '1', '0', '0', '0', '1', '0'],
        ['b', '1', '1', '0', '0', '0', '0'],
        ['all', '2', '1', '0', '0', '1', '0'],
    ]


@pytest.mark.slow
def test_zoo_configs_get_the_expected_verdict():
    expected = {k: v for k, v in ZOO.items() if find_spec(k.split('::')[0])}
    if not expected:
        pytest.skip('no package with a zoo is installed')
    files = {}
    for package in {name.split('::')[0] for name in expected}:
        files.update(find_configs(package, expected))
    found = {files[r['path']]: r for r in sweep(files)}
    verdicts = {name: result['verdict'] for name, result in found.items()}
    assert verdicts == expected, found
