"""Every config of `configs/`: what it changes, and two iterations of most.

A config is found by its place, so a new one is tested without a new line
here. It trains on small data that have the format and the place of the real
ones, with its own model, pipeline, loop, schedule and hooks. Those of
`test_sister_packages.py` train there.
"""

import gc
import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Dict, List

import numpy as np
import pytest
import torch
import zoo_data
from mmengine.config import Config
from mmengine.hooks import Hook
from small_configs import replace, resize, settle, shrink
from toy import hook_of

from bls_mm import PRUNERS, BLSSampler
from bls_mm.config.pruning import has_pruning
from bls_mm.runner.build import build_runner, make_config
from bls_mm.zoo import load_config
from tools.dataset_converters import prepare_scenes

pytest.importorskip('mlxtend')
modelindex = pytest.importorskip('modelindex.load_model_index')

ROOT = Path(__file__).parents[2]
TRAINED = ('mmpretrain', 'mmdet', 'mmseg', 'mmengine')
FOLDERS = (
    *TRAINED,
    'mmpose',
    'mmaction',
    'mmdet3d',
    'mmrotate',
    'mmagic',
    'mmyolo',
    'mmocr',
)
MODULES = ('plane_sweep.py',)  # what configs import
FILES = [
    file.relative_to(ROOT / 'configs').as_posix()
    for folder in FOLDERS
    for file in sorted((ROOT / 'configs' / folder).glob('*.py'))
    if file.name not in MODULES
]
# Of packages that are installed.
HERE = [file for file in FILES if find_spec(file.partition('/')[0])]
PRUNED = [file for file in HERE if '-bls-' in file]
# One of those that differ in pruning alone, as a test below says; those of
# scenes are trained by `test_scenes.py`.
ALIKE: Dict[str, List[str]] = {}
for _file in HERE:
    if _file.partition('/')[0] in TRAINED and '_scenes' not in _file:
        _name = re.sub(r'-bls-[a-z0-9]+', '', _file)
        ALIKE.setdefault(_name, []).append(_file)
SMALL = [max(files, key=PRUNED.__contains__) for files in ALIKE.values()]
BATCH, ITERS = 2, 2
SIZE_KEYS = {'crop_size', 'img_scale', 'img_size', 'scale', 'scales', 'size'}
# What takes its time whatever the size of an image: by name, the value in the
# zoo and here. All networks but the last keep their depth and width.
COUNTS = {
    'num': (512, 32),  # regions of R-CNN
    'num_grids': ([40, 36, 24, 16, 12], [10, 9, 6, 4, 3]),  # of SOLO
    'num_points': (12544, 100),  # of Mask2Former
    'num_queries': (900, 100),  # of DINO: no more than there are pixels
    'num_hidden_layers': (12, 2),  # of the decoder of BLIP
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    """A folder with small data below `data`, where configs look for it."""
    folder = tmp_path_factory.mktemp('zoo')
    root, rng = folder / 'data', np.random.default_rng(0)
    sums = zoo_data.write_cifar(root, rng)
    zoo_data.write_imagenet(root / 'imagenet', rng)
    zoo_data.write_captions(root / 'coco', rng)
    zoo_data.write_nocaps(root / 'nocaps', rng)
    zoo_data.write_vocabulary(root / 'vocabulary')
    zoo_data.write_ade20k(root / 'ade/ADEChallengeData2016', rng)
    zoo_data.write_cityscapes(root / 'cityscapes', rng)
    zoo_data.write_camvid(root / 'camvid', rng)
    zoo_data.write_cells(root / 'bccd', rng)
    for name in ('cifar10-5k', 'cifar10-1k'):
        zoo_data.write_folders(root / name, rng, 10, 32)
    zoo_data.write_folders(root / 'cifar100-10k', rng, 100, 32)
    for name in ('fashion-mnist', 'fashion-mnist-5k'):
        zoo_data.write_folders(root / name, rng, 10, 28, channels=1)
    datasets = importlib.import_module('mmdet.datasets')
    zoo_data.write_coco(
        root / 'coco',
        rng,
        datasets.CocoDataset.METAINFO['classes'],
        datasets.CocoPanopticDataset.METAINFO,
    )
    prepare_scenes.ensure(
        root / 'scenes', zoo_data.TRAIN, zoo_data.VAL, classes=5
    )
    with pytest.MonkeyPatch.context() as patch:
        accept_cifar(patch, sums)
        yield folder


@pytest.fixture(scope='module')
def quick_collection(data):
    """Keep MMEngine, which often collects garbage, from modules to go over."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def panopticapi(monkeypatch):
    """The one function of panopticapi, which PyPI lacks, to train with."""
    if find_spec('panopticapi') is None:
        module = ModuleType('panopticapi')
        module.utils = SimpleNamespace(
            rgb2id=lambda color: color.astype(int) @ (1, 256, 65536)
        )
        monkeypatch.setitem(sys.modules, 'panopticapi', module)


def accept_cifar(patch, sums):
    """Expect the checksums of the small files; else CIFAR is downloaded."""
    datasets = importlib.import_module('mmpretrain.datasets')
    for cls in (datasets.CIFAR10, datasets.CIFAR100):
        for files in ('train_list', 'test_list'):
            names = [name for name, _ in getattr(cls, files)]
            patch.setattr(cls, files, [[name, sums[name]] for name in names])


# What a config changes


def base_of(file):
    """The config that a config file inherits from."""
    # Private, but the only ones who know what MMEngine takes for a base.
    [base] = Config._get_base_files(str(file))
    if '::' not in base:
        base, _ = Config._get_cfg_path(base, str(file))
    return load_config(base)


def without_scope(value):
    """A config without what MMEngine adds to that of another package."""
    if isinstance(value, dict):
        return {
            key: without_scope(item)
            for key, item in value.items()
            if key != '_scope_'
        }
    if isinstance(value, (list, tuple)):
        return [without_scope(item) for item in value]
    return value


def pruner_in(file):
    """The name of the pruner in the name of a config."""
    [name] = re.findall(r'(?<=-bls-)[a-z0-9]+', Path(file).stem)
    names = {name.lower(): name for name in PRUNERS.module_dict}
    return names[name]


def type_in(cfg):
    """The type of something, with or without its module."""
    return cfg['type'].removeprefix('bls_mm.')


@pytest.mark.parametrize('file', PRUNED)
def test_config_adds_pruning_and_nothing_else(file):
    path = ROOT / 'configs' / file
    base, cfg = (
        without_scope(config.to_dict())
        for config in (base_of(path), load_config(path))
    )
    sampler = cfg['train_dataloader'].pop('sampler')
    base_sampler = base['train_dataloader'].pop('sampler')
    assert type_in(sampler) == 'BLSSampler'
    pruner = PRUNERS.build(sampler.pop('pruner'))
    assert type(pruner).__name__ == pruner_in(file)
    if 'inner' in sampler:
        assert sampler['inner'] == base_sampler
    else:
        assert base_sampler['type'] in ('DefaultSampler', 'InfiniteSampler')
        assert dict(sampler, type=base_sampler['type']) == base_sampler
    *hooks, hook = cfg.pop('custom_hooks')
    assert type_in(hook) == 'BLSHook'
    assert hooks == (base.pop('custom_hooks', None) or [])
    imports = cfg.pop('custom_imports')
    base_imports = base.pop('custom_imports', None)
    if base_imports is None:
        assert imports == dict(imports=['bls_mm'], allow_failed_imports=False)
    else:
        assert imports == base_imports
        assert hook['type'] == 'bls_mm.BLSHook'
    assert cfg == base


@pytest.mark.parametrize('file', FILES)
def test_name_follows_the_grammar(file):
    """`algorithm_modules_training_data`, the pruning after the batch."""
    stem = Path(file).stem
    training = r'\d+xb\d+(-bls-[a-z0-9]+)?(-[a-z0-9]+)*'
    assert re.fullmatch(rf'[a-z0-9_-]+_{training}(_[a-z0-9-]+)+', stem)
    if file in HERE:
        cfg = load_config(ROOT / 'configs' / file)
        assert ('-bls-' in stem) == has_pruning(cfg)


# Where a config is listed


def test_index_lists_every_config_once():
    index = modelindex.load(str(ROOT / 'model-index.yml'))
    listed = [model.config for model in index.models]
    assert sorted(listed) == sorted(f'configs/{file}' for file in FILES)
    collections = {item.name: item for item in index.collections}
    for model in index.models:
        assert model.name == Path(model.config).stem
        folder = Path(model.config).parent
        assert model.in_collection == f'BLS-{folder.name}'
        collection = collections[model.in_collection]
        assert collection.readme == f'{folder.as_posix()}/README.md'
        assert model.metadata.data['Training Data']
        # None were measured on these data, see docs/evidence.md.
        assert model.results is None
        techniques = model.metadata.data.get('Training Techniques', [])
        wanted = [pruner_in(model.config)] if '-bls-' in model.name else []
        assert techniques == wanted


@pytest.mark.parametrize('folder', FOLDERS)
def test_readme_has_a_row_for_every_config(folder):
    text = (ROOT / 'configs' / folder / 'README.md').read_text()
    rows = re.findall(r'^\| \[`([\w-]+)`\]\(\1\.py\) \|', text, re.MULTILINE)
    here = [file for file in FILES if file.startswith(f'{folder}/')]
    assert sorted(rows) == sorted(Path(file).stem for file in here)


# Two iterations


class Recorder(Hook):
    """Write down what a run visits and its losses, and stop it."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.visited, self.losses = [], []

    def before_train(self, runner):
        dataset = runner.train_dataloader.dataset

        def read(_, index):
            self.visited.append(int(index))
            return type(dataset).__mro__[1].__getitem__(dataset, index)

        # Of the outermost dataset: Mosaic asks inner ones for more.
        dataset.__class__ = type(
            type(dataset).__name__, (type(dataset),), dict(__getitem__=read)
        )

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.losses.append(outputs['loss'].item())
        if len(self.losses) == ITERS:
            raise KeyboardInterrupt


def small_config(file, work_dir):
    """A config with small images, batches and nothing to download."""
    cfg = make_config(file, work_dir=str(work_dir))
    backbone = cfg.model.get('backbone') or {}
    # The images of Swin have to be multiples of its windows.
    keep_size = backbone.get('type') == 'SwinTransformer'

    def change(node):
        replace(node, COUNTS)
        for key in () if keep_size else node.keys() & SIZE_KEYS:
            node[key] = resize(node[key], smaller)
        if node.get('type') == 'BlipTokenizer':
            node['name_or_path'] = 'data/vocabulary'  # would be downloaded

    cfg = shrink(cfg, change)
    settle(cfg, work_dir, BATCH)
    return cfg


def smaller(pixels):
    return pixels if pixels < 200 else max(64, pixels // 8 // 32 * 32)


@pytest.mark.filterwarnings('ignore:__array__ impl:DeprecationWarning')
@pytest.mark.filterwarnings("ignore:'pin_memory' argument:UserWarning")
@pytest.mark.parametrize('file', SMALL)
@pytest.mark.usefixtures('panopticapi', 'quick_collection')
def test_config_trains(file, data, tmp_path, monkeypatch):
    monkeypatch.chdir(data)
    cfg = small_config(ROOT / 'configs' / file, tmp_path)
    # Metrics want packages of their own: read what they would be given.
    validation = cfg.val_dataloader
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    runner = build_runner(cfg)
    assert next(iter(runner.build_dataloader(validation)))
    recorder = Recorder()
    runner.register_hook(recorder)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert runner.iter == ITERS - 1
    assert len(recorder.losses) == ITERS
    assert len(recorder.visited) == ITERS * BATCH
    assert np.isfinite(recorder.losses).all()
    sampler = runner.train_dataloader.batch_sampler.sampler
    assert isinstance(sampler, BLSSampler) == (file in PRUNED)
    if file in PRUNED:
        scores = hook_of(runner).scores
        moved = torch.nonzero(scores).flatten().tolist()
        assert moved == sorted({i % len(scores) for i in recorder.visited})
        assert len(moved) < len(scores)
