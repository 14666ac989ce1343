"""`BLSVisualizationHook`: what it draws, and that nothing else changes."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from pictures import Pictures, RestlessVisualizer, on_pictures
from ranks import train_on
from toy import EVERY_EPOCH, hook_of, make_runner, train

from bls_mm.datasets.images import NoImagesError, as_rgb, load
from bls_mm.datasets.wrappers import find_source
from bls_mm.hooks import visualization_hook as visualization
from bls_mm.hooks.visualization_hook import BLSVisualizationHook, hardest
from bls_mm.visualization.charts import (
    counts,
    draw_histogram,
    is_logarithmic,
    score_edges,
)
from bls_mm.visualization.samples import SampleDrawer
from tools.dataset_converters import prepare_scenes

ROOT = Path(__file__).parents[2]

HOOKS = [
    dict(type='BLSHook'),
    dict(type='BLSVisualizationHook'),
    dict(type='Recorder'),
]
BY_ITER = dict(by_epoch=False, max_iters=48)


def hooks(**settings):
    """All hooks, with settings of the one under test."""
    return [HOOKS[0], dict(HOOKS[1], **settings), HOOKS[2]]


def drawn(work_dir, name):
    """Pictures of a kind by the iteration that they were drawn at."""
    files = work_dir.glob(f'*/vis_data/vis_image/{name}_*.png')
    return {int(f.stem.rpartition('_')[2]): cv2.imread(str(f)) for f in files}


def logged(work_dir, words):
    """The lines of the log that have some words in them."""
    lines = next(work_dir.glob('*/*.log')).read_text().splitlines()
    return [line for line in lines if words in line]


# A run


@pytest.mark.parametrize('loop', [None, BY_ITER])
def test_run_is_the_same_to_the_bit_with_and_without(tmp_path, loop):
    changes = {} if loop is None else dict(train_cfg=loop)
    before = RestlessVisualizer.calls
    shown = train(
        tmp_path / 'a',
        **on_pictures(**changes, custom_hooks=hooks(interval=2, num_images=4)),
    )
    assert RestlessVisualizer.calls >= before + 4 * 4
    plain = train(tmp_path / 'b', **on_pictures(**changes))
    recorders = [hook_of(run, 'Recorder') for run in (shown, plain)]
    assert recorders[0].numbers == recorders[1].numbers
    assert recorders[0].losses == recorders[1].losses
    of_shown, of_plain = (run.model.state_dict() for run in (shown, plain))
    assert all(torch.equal(of_shown[k], of_plain[k]) for k in of_plain)
    scores = [hook_of(run).scores for run in (shown, plain)]
    assert torch.equal(*scores)


def test_pictures_are_drawn_between_passes_and_at_the_end(tmp_path):
    changes = on_pictures(custom_hooks=hooks(interval=3, num_images=2))
    runner = train(tmp_path, **changes)
    starts, epochs = {}, hook_of(runner, 'Recorder').epochs
    for iteration, epoch in enumerate(epochs):
        starts.setdefault(epoch, iteration)
    expected = {starts[1], starts[4], starts[7], len(epochs)}
    assert drawn(tmp_path, 'bls_scores').keys() == expected
    assert drawn(tmp_path, 'bls_samples').keys() == expected


@pytest.mark.parametrize('loop', [dict(max_epochs=60, by_epoch=True), BY_ITER])
def test_run_of_any_length_has_about_ten_pictures(tmp_path, monkeypatch, loop):
    monkeypatch.setattr(visualization, '_SHARE_OF_TIME', 1e6)
    if 'max_iters' in loop:
        loop = dict(loop, max_iters=60 * 6)
    changes = on_pictures(
        train_cfg=loop,
        custom_hooks=hooks(num_images=0),
    )
    train(tmp_path, **changes)
    assert 8 <= len(drawn(tmp_path, 'bls_scores')) <= 11
    assert not drawn(tmp_path, 'bls_samples')


def test_run_of_seconds_has_the_last_picture_alone(tmp_path):
    changes = on_pictures(custom_hooks=hooks(num_images=2))
    runner = train(tmp_path, **changes)
    for name in ('bls_scores', 'bls_samples'):
        assert list(drawn(tmp_path, name)) == [runner.iter]


def test_pictures_take_no_more_than_a_hundredth_of_the_time(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(visualization.time, 'perf_counter', lambda: now[0])
    hook = BLSVisualizationHook()
    hook.before_train(None)
    planner = SimpleNamespace(weights=None)
    hook._bls = SimpleNamespace(scores=torch.ones(3), planner=planner)
    hook._add = lambda *_: now.__setitem__(0, now[0] + 3)
    moments = []
    for _ in range(4000):
        now[0] += 1
        if hook._has_time():
            hook._draw(None, '')
            moments.append(round(now[0] - 1000))
    # The first is expected to take a second, and takes six.
    assert moments[:3] == [106, 1206, 1806]
    assert hook._spent <= 0.01 * (now[0] - 1000)


def test_resumed_run_draws_what_the_other_would_have_drawn(tmp_path):
    settings = dict(
        custom_hooks=hooks(interval=1, num_images=0),
        default_hooks=dict(checkpoint=EVERY_EPOCH),
    )
    full, again = tmp_path / 'full', tmp_path / 'again'
    train(full, **on_pictures(**settings))
    settings.update(resume=True, load_from=str(full / 'epoch_5.pth'))
    train(again, **on_pictures(**settings))
    later = drawn(again, 'bls_scores')
    assert len(drawn(full, 'bls_scores')) == 8  # not before the first pass
    # MMEngine does not restore the random state, so that pixels differ.
    assert len(later) == 4
    assert sorted(later) == sorted(drawn(full, 'bls_scores'))[-4:]


@pytest.mark.parametrize('loop', [None, BY_ITER])
def test_shares_are_logged_once_for_all_backends(tmp_path, loop):
    changes = on_pictures() if loop is None else on_pictures(train_cfg=loop)
    runner = train(
        tmp_path,
        **changes,
        custom_hooks=hooks(interval=100, num_images=0),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
    )
    file = next(tmp_path.glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) == runner.iter
    kept = [row['bls_kept'] for row in rows]
    assert kept[0] == 1 and min(kept) < 1
    assert {'bls_kept', 'bls_saved'} == {k for k in rows[0] if 'bls' in k}


def test_samples_without_images_leave_the_histogram(tmp_path):
    visualizer = dict(
        type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    train(
        tmp_path,
        visualizer=visualizer,
        custom_hooks=hooks(interval=3),
        log_level='INFO',
    )
    assert len(logged(tmp_path, 'no sample pictures')) == 1
    assert logged(
        tmp_path, 'because the pipeline of ToyDataset loads no `img`.'
    )
    assert len(drawn(tmp_path, 'bls_scores')) == 4
    assert not drawn(tmp_path, 'bls_samples')


def test_training_goes_on_when_nothing_can_be_drawn(tmp_path, monkeypatch):
    def fail(*args):
        raise OSError('no space')

    monkeypatch.setattr(SampleDrawer, 'draw', fail)
    runner = train(tmp_path, **on_pictures(custom_hooks=hooks(interval=3)))
    assert runner.epoch == 8
    said = logged(tmp_path, 'could not draw')
    assert len(said) == 1 and 'WARNING' in said[0]
    assert '`bls_samples`' in said[0] and 'OSError: no space' in said[0]
    assert len(drawn(tmp_path, 'bls_scores')) == 4


def test_ranks_but_the_first_draw_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(visualization, 'is_main_process', lambda: False)
    monkeypatch.setattr(BLSVisualizationHook, '_draw', None)
    train(tmp_path, **on_pictures(custom_hooks=hooks(interval=1)))
    assert not drawn(tmp_path, 'bls_scores')


def test_first_of_two_ranks_draws_and_both_get_to_the_end(tmp_path):
    first, second = train_on(
        2,
        tmp_path / 'ranks',
        custom_hooks=hooks(interval=1),
        train_cfg=dict(by_epoch=True, max_epochs=3),
        visualizer=dict(
            type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]
        ),
    )
    assert torch.equal(first['scores'], second['scores'])
    assert first['merges'] == second['merges'] != []
    assert len(drawn(tmp_path / 'ranks/work', 'bls_scores')) == 3


def test_hook_needs_a_bls_hook(tmp_path):
    runner = make_runner(
        tmp_path,
        custom_hooks=HOOKS[1:],
        train_dataloader__sampler=dict(type='BLSSampler', pruner=None),
    )
    with pytest.raises(ValueError, match="Add dict\\(type='BLSHook'\\)"):
        runner.train()


@pytest.mark.parametrize(
    'settings, error',
    [
        (dict(interval=0), ValueError),
        (dict(interval=1.5), TypeError),
        (dict(num_images=-1), ValueError),
    ],
)
def test_hook_refuses_wrong_settings(settings, error):
    name = next(iter(settings))
    with pytest.raises(error, match=f'BLSVisualizationHook.{name}'):
        BLSVisualizationHook(**settings)


def test_grid_shows_the_hardest_and_the_easiest(tmp_path, monkeypatch):
    indices = []
    draw = SampleDrawer.draw

    def recorded(self, index):
        indices.append(index)
        return draw(self, index)

    monkeypatch.setattr(SampleDrawer, 'draw', recorded)
    scores = []
    add = BLSVisualizationHook._draw

    def noted(self, runner, *args, **kwargs):
        scores.append(self._bls.scores.clone())
        add(self, runner, *args, **kwargs)

    monkeypatch.setattr(BLSVisualizationHook, '_draw', noted)
    dataset = dict(
        type='RepeatDataset', times=2, dataset=dict(type='Pictures')
    )
    changes = on_pictures(
        custom_hooks=hooks(interval=100, num_images=6),
        train_dataloader__dataset=dataset,
    )
    runner = train(tmp_path, **changes)
    assert len(scores) == 2 and hook_of(runner).scores.shape == (24,)
    order = scores[0].argsort(descending=True).tolist()
    assert indices[:3] == order[:3]
    assert indices[3:6] == order[::-1][:3]


# Samples


class SameLength:
    """Like mmdet's ``MultiImageMixDataset``."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.pipeline = []

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]


def test_sample_is_loaded_without_augmentation():
    loaded = load(find_source(Pictures(), 7))
    assert loaded['image'].shape == (8, 12, 3)
    assert (loaded['image'] == [0, 0, 7]).all()  # red, green, blue
    assert loaded['data_sample'].gt == 1


def test_pack_transform_of_a_wrapper_is_found():
    outer = SameLength(Pictures(pipeline=[dict(type='LoadPicture')]))
    assert load(find_source(outer, 1))['data_sample'] is None
    outer.pipeline = Pictures().pipeline.transforms[1:]
    assert load(find_source(outer, 1))['data_sample'].gt == 1


@pytest.mark.parametrize(
    'pipeline, reason',
    [([], 'loads no `img`'), (None, 'has no `get_data_info`')],
)
def test_dataset_without_images_says_why(pipeline, reason):
    dataset = Pictures(pipeline=pipeline)
    if pipeline is None:
        dataset = [1, 2]
    with pytest.raises(NoImagesError, match=reason):
        load(find_source(dataset, 0))


@pytest.mark.parametrize(
    'image, expected',
    [
        (np.uint8([[7]]), [7, 7, 7]),
        (np.uint8([[[1, 2, 3]]]), [3, 2, 1]),
        (np.float32([[[1, 2, 255.4]]]), [255, 2, 1]),
        (np.float32([[[0, 0.5, 1]]]), [255, 127, 0]),
        (np.uint16([[[0, 1000, 2000]]]), [255, 127, 0]),
        (np.uint8([[[1, 2, 3, 4, 5]]]), [3, 2, 1]),
        (np.float32([[[np.nan, 0, 0]]]), [0, 0, 0]),
    ],
)
def test_image_of_any_type_becomes_rgb(image, expected):
    assert as_rgb(image)[0, 0].tolist() == expected


def test_images_in_memory_keep_their_order():
    assert as_rgb(np.uint8([[[1, 2, 3]]]), is_bgr=False)[0, 0, 0] == 1


# The visualizers of the tasks


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    pytest.importorskip('mlxtend')
    out = tmp_path_factory.mktemp('data') / 'scenes'
    prepare_scenes.ensure(out, train=3, test=1, classes=5)
    return out


# What numpy and pycocotools say about each other.
@pytest.mark.filterwarnings('ignore::DeprecationWarning')
@pytest.mark.parametrize(
    'config, scope',
    [
        ('mmdet/retinanet_r18_fpn_1xb4-6e_scenes.py', 'mmdet'),
        ('mmdet/mask-rcnn_r18_fpn_1xb4-6e_scenes.py', 'mmdet'),
        ('mmseg/upernet_r18_1xb4-1k_scenes-96x96.py', 'mmseg'),
    ],
)
def test_task_visualizer_draws_the_ground_truth(scenes, config, scope):
    pytest.importorskip(scope)
    cfg = Config.fromfile(ROOT / 'configs' / config)
    init_default_scope(scope)
    cfg.train_dataloader.dataset.data_root = f'{scenes}/'
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    plain = load(find_source(dataset, 1))['image']
    picture = SampleDrawer(dataset, cfg.visualizer).draw(1)
    assert picture.shape == plain.shape
    stored = cv2.imread(dataset.get_data_info(1)['img_path'])[..., ::-1]
    assert np.array_equal(plain, stored)
    assert SampleDrawer(dataset, cfg.visualizer).label(1) == ''
    changed = (picture != plain).any(-1).mean()
    assert 0.05 < changed
    init_default_scope('mmengine')


def test_classification_visualizer_names_the_class(tmp_path):
    pytest.importorskip('mmpretrain')
    init_default_scope('mmpretrain')
    for name in ('cat', 'dog'):
        (tmp_path / name).mkdir()
        image = np.full((20, 10), 90, np.uint8)
        cv2.imwrite(str(tmp_path / name / '0.png'), image)
    dataset = DATASETS.build(
        dict(
            type='CustomDataset',
            data_root=str(tmp_path),
            pipeline=[
                dict(type='LoadImageFromFile'),
                dict(type='RandomFlip', prob=0.5),
                dict(type='PackInputs'),
            ],
        )
    )
    drawer = SampleDrawer(dataset, dict(type='UniversalVisualizer'))
    pictures = [drawer.draw(i) for i in range(2)]
    assert pictures[0].shape == (460, 230, 3)  # room for the name
    assert (pictures[0] != pictures[1]).any()
    assert (pictures[0][-100:] == 90).all()
    assert [drawer.label(i) for i in range(2)] == ['cat', 'dog']
    init_default_scope('mmengine')


# Charts


def test_edges_are_in_equal_ratios_where_scores_spread():
    spread = np.geomspace(1e-4, 10, 1000)
    assert is_logarithmic(score_edges(spread))
    assert is_logarithmic(score_edges(np.r_[np.zeros(10), spread]))
    assert not is_logarithmic(score_edges(np.linspace(1, 2, 50)))
    assert not is_logarithmic(score_edges(np.linspace(-1, 100, 50)))
    assert not is_logarithmic(score_edges(np.zeros(3)))


@pytest.mark.parametrize('scores', [[0.0] * 5, [-1.0, 2.0], [1e-8, 1, 900]])
def test_every_score_is_in_a_bin(scores):
    scores = np.float32(scores)
    assert counts(scores, score_edges(scores)).sum() == len(scores)


def test_histogram_shows_what_is_pruned_in_another_colour():
    scores = np.float32(np.linspace(1, 2, 400))
    images = [
        draw_histogram(scores, kept, '')
        for kept in (None, scores > 0, scores > 1.5)
    ]
    assert images[0].shape == (360, 640, 3)
    orange = [((i[..., 0] > 200) & (i[..., 2] < 120)).sum() for i in images]
    assert orange[0] == orange[1] == 0 and orange[2] > 5000


def test_hardest_are_in_order_and_the_first_of_equal_ones():
    scores = np.float32([1, 3, 2, 3, 0])
    assert hardest(scores, 3).tolist() == [1, 3, 2]
    assert hardest(-scores, 2).tolist() == [4, 0]
    assert hardest(np.zeros(9, np.float32), 2).tolist() == [0, 1]
    assert hardest(scores, 0).tolist() == []
