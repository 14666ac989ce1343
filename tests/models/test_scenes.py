"""The scenes of MNIST digits, and the configs that train on them."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from toy import hook_of

from bls_mm.runner.build import build_runner, make_config
from tools.dataset_converters import prepare_scenes

pytest.importorskip('mlxtend')

# They inherit all the rest from those without pruning.
CONFIGS = Path(__file__).parents[2].glob('configs/mm*/*-bls-*_scenes*.py')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A working directory with the scenes where the configs look for them."""
    out = tmp_path_factory.mktemp('root')
    prepare_scenes.ensure(out / 'data/scenes', train=8, test=2, classes=5)
    return out


def test_scenes_are_the_same_each_time(folder, tmp_path):
    scenes, other = folder / 'data/scenes', tmp_path / 'scenes'
    before = (scenes / 'images/train/0000.png').stat().st_mtime_ns
    prepare_scenes.ensure(scenes, train=8, test=2, classes=5)
    assert (scenes / 'images/train/0000.png').stat().st_mtime_ns == before
    prepare_scenes.ensure(other, train=3, test=1, classes=5)
    files = sorted(other.glob('*/*/*.png'))
    assert len(files) == 8
    for file in files:
        assert (
            file.read_bytes()
            == (scenes / file.relative_to(other)).read_bytes()
        )
    with pytest.raises(FileExistsError, match='with other settings'):
        prepare_scenes.ensure(other, train=3, test=1)


def test_scenes_have_boxes_and_maps_that_agree(folder):
    scenes = folder / 'data/scenes'
    content = json.loads((scenes / 'annotations/train.json').read_text())
    assert [c['name'] for c in content['categories']] == list('01234')
    for image in content['images']:
        file = scenes / 'semantic/train' / image['file_name']
        semantic = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert semantic.shape == (image['height'], image['width'])
        digits = [
            a for a in content['annotations'] if a['image_id'] == image['id']
        ]
        assert (semantic > 0).sum() == sum(digit['area'] for digit in digits)
        for digit in digits:
            left, top, width, height = digit['bbox']
            inside = semantic[top : top + height, left : left + width]
            shown = inside == 1 + digit['category_id']
            assert shown.sum() >= digit['area']
            outline = np.concatenate(digit['segmentation']).reshape(-1, 2)
            # Specks of one or two pixels have a box, but no outline.
            assert (outline.min(0) >= [left, top]).all()
            assert (outline.max(0) < [left + width, top + height]).all()


@pytest.mark.filterwarnings('ignore:__array__ impl:DeprecationWarning')
@pytest.mark.parametrize('file', sorted(CONFIGS), ids=lambda file: file.stem)
def test_config_trains_and_validates(file, folder, monkeypatch):
    pytest.importorskip(file.parent.name)
    monkeypatch.chdir(folder)
    no_workers = dict(num_workers=0, persistent_workers=False)
    loaders = dict(train_dataloader=no_workers, val_dataloader=no_workers)
    cfg = make_config(file, work_dir=file.stem, cfg_options=loaders)
    length = 'max_epochs' if file.parent.name == 'mmdet' else 'max_iters'
    cfg.train_cfg.merge({length: 2, 'val_interval': 2})
    cfg.experiment_name = cfg.visualizer.name = file.stem  # global in MMEngine
    cfg.log_level = 'WARNING'
    runner = build_runner(cfg)
    runner.train()
    assert hook_of(runner).scores.shape == (8,)
    assert hook_of(runner).scores.count_nonzero() == 8
    assert 'val/time' in runner.message_hub.log_scalars
