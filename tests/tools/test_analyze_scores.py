"""`tools/analyze_scores.py`: what the report says, and when there is none."""

import csv
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from pictures import on_pictures
from toy import hook_of, make_config

from bls_mm.analysis import charts, report
from bls_mm.analysis import statistics as stats
from bls_mm.analysis.samples import COLUMNS
from bls_mm.analysis.work_dir import (
    Scalars,
    WorkDirError,
    next_weights,
    parse_row,
    read_config,
    read_scalars,
    read_snapshots,
)
from tools import analyze_scores

TESTS = Path(__file__).parents[1]

_count = 0


def train(work_dir, **changes):
    """Train as from a file, so that the config is in the work dir."""
    global _count
    _count += 1
    config = make_config(work_dir, **changes)
    config['experiment_name'] = f'analyze{_count}'
    logger = dict(type='LoggerHook', interval=1)
    config['default_hooks']['logger'] = logger
    imports = dict(imports=['toy', 'pictures'], allow_failed_imports=False)
    runner = Runner.from_cfg(Config(dict(config, custom_imports=imports)))
    runner.train()
    return runner


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    """A work dir, and the runner that has trained there."""
    work_dir = tmp_path_factory.mktemp('run')
    return work_dir, train(work_dir, **on_pictures())


@pytest.fixture(scope='module')
def analyzed(run, tmp_path_factory):
    out = tmp_path_factory.mktemp('analyze')
    analyze_scores.analyze(run[0], out, top=4)
    return out


def rows_of(out):
    with (out / 'scores.csv').open(newline='') as file:
        return list(csv.DictReader(file))


def page_of(out):
    return (out / 'report.html').read_text(encoding='utf-8')


class Page(HTMLParser):
    """What a page loads from elsewhere, and which elements it leaves open."""

    def __init__(self, text):
        super().__init__()
        self.loaded, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ('src', 'href', 'xlink:href'):
                self.loaded.append(value)
        if tag not in ('meta', 'img', 'br', 'link'):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


# A report


def test_csv_has_each_sample_with_its_score_and_rank(run, analyzed):
    rows = rows_of(analyzed)
    assert list(rows[0]) == list(COLUMNS)
    scores = hook_of(run[1]).scores.numpy()
    assert np.allclose([float(r['score']) for r in rows], scores, rtol=1e-6)
    assert [int(r['sample_id']) for r in rows] == list(range(24))
    assert [r['image_path'] for r in rows] == [
        f'images/{n}.png' for n in range(24)
    ]
    assert [r['classes'] for r in rows] == ['0', '1'] * 12
    hardest = min(rows, key=lambda r: int(r['rank']))
    assert int(hardest['sample_id']) == scores.argmax()
    assert float(hardest['percentile']) == 100
    assert sorted(int(r['rank']) for r in rows) == list(range(1, 25))


def test_csv_tells_what_the_last_pruned_pass_kept(run, analyzed):
    pruned = [s for s in read_snapshots(run[0])[0] if s.weights is not None]
    assert pruned
    kept = [int(row['kept']) for row in rows_of(analyzed)]
    assert kept == (pruned[-1].weights > 0).astype(int).tolist()
    number = pruned[-1].numbers['number'] + 1
    assert f'pass {number} kept' in page_of(analyzed)


def test_report_is_one_file_that_loads_nothing(analyzed):
    text = page_of(analyzed)
    page = Page(text)
    assert not page.open
    assert all(x.startswith(('data:image/', '#')) for x in page.loaded)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', '', text)
    assert 'http' not in outside and '<script' not in text


def test_report_has_all_its_parts(analyzed):
    text = page_of(analyzed)
    assert text.count('<svg') == 5
    assert text.count('data:image/jpeg') == 3 * 4
    for words in (
        'Kept share',
        'Scores over time',
        'Scores of classes',
        'Does pruning starve a class?',
        'Suspected label errors',
        'time saved, about',
    ):
        assert words in text
    assert 'nan' not in re.sub(r'base64,\S+', '', text)


def test_report_says_what_was_saved(run, analyzed):
    work_dir, runner = run
    hook = hook_of(runner)
    share = 100 * (1 - hook.visited / hook.visited_unpruned)
    assert f'{share:.1f} %' in page_of(analyzed)
    assert f'{48 - runner.iter} of 48' in page_of(analyzed)


def test_scalars_are_those_of_each_epoch(run):
    scalars = read_scalars(run[0])
    rows = scalars.per_pass()
    assert scalars.by_epoch and [row['at'] for row in rows] == [*range(1, 9)]
    kept = [s.kept for s in read_snapshots(run[0])[0]]
    assert [row['kept'] for row in rows] == pytest.approx(kept)


def test_selection_is_that_of_the_run(run):
    snapshots, _ = read_snapshots(run[0])
    config = read_config(run[0])
    pruned = 0
    for before, after in zip(snapshots, snapshots[1:]):
        if after.weights is not None:
            pruned += 1
            assert np.array_equal(next_weights(config, before), after.weights)
    assert pruned >= 4


@pytest.mark.parametrize('target', [0.2, 0.4])
def test_selection_of_a_target_drops_what_gets_there(run, target):
    config = read_config(run[0])
    pruner = dict(type='RandomPrune', target_saving=target)
    config.train_dataloader.sampler.pruner = pruner
    weights = next_weights(config, read_snapshots(run[0])[0][0])
    # 7 of the 8 passes are pruned, all but the first.
    assert (weights > 0).mean() == pytest.approx(1 - target * 8 / 7, abs=0.03)


# What is not known is left out, and said


def test_one_checkpoint_has_no_history(run, tmp_path):
    last = run[0] / 'epoch_8.pth'
    (tmp_path / last.name).symlink_to(last)
    config = next(run[0].glob('*.py'))
    (tmp_path / config.name).symlink_to(config)
    analyze_scores.analyze(tmp_path, tmp_path / 'analyze', top=2)
    text = page_of(tmp_path / 'analyze')
    assert 'There is one checkpoint only' in text
    assert 'nothing can be said about time' in text
    assert 'would keep by these scores' in text
    assert text.count('<svg') == 3


def test_dataset_without_images_or_labels_leaves_the_scores(tmp_path):
    train(tmp_path)
    analyze_scores.analyze(tmp_path, tmp_path / 'analyze')
    text = page_of(tmp_path / 'analyze')
    assert 'loads no `img`' in text and '<img' not in text
    assert 'The hardest samples</h2>' not in text
    assert 'Does pruning starve' not in text
    rows = rows_of(tmp_path / 'analyze')
    assert len(rows) == 40 and not rows[0]['classes']


def test_dataset_that_is_gone_leaves_the_scores(run, tmp_path):
    config = read_config(run[0])
    config.train_dataloader.dataset.pipeline = [dict(type='GoneTransform')]
    config.dump(tmp_path / 'config.py')
    for file in run[0].glob('*.pth'):
        (tmp_path / file.name).symlink_to(file)
    analyze_scores.analyze(tmp_path, tmp_path / 'analyze')
    assert 'dataset could not be built' in page_of(tmp_path / 'analyze')
    assert len(rows_of(tmp_path / 'analyze')) == 24


def test_iteration_based_run_with_repeats_is_reported(tmp_path):
    dataset = dict(
        type='RepeatDataset', times=50, dataset=dict(type='Pictures')
    )
    changes = on_pictures(
        train_dataloader__dataset=dataset,
        train_cfg=dict(by_epoch=False, max_iters=45),
        default_hooks__checkpoint=dict(
            type='CheckpointHook', interval=7, by_epoch=False
        ),
    )
    runner = train(tmp_path, **changes)
    hook = hook_of(runner)
    analyze_scores.analyze(tmp_path, tmp_path / 'analyze', top=2)
    text = page_of(tmp_path / 'analyze')
    share = 100 * (1 - hook.visited / hook.visited_unpruned)
    assert f'{share:.1f} %' in text
    assert f'{45 - runner.iter} of 45' in text
    assert 'after 7.5 passes' in text
    assert len(rows_of(tmp_path / 'analyze')) == 24


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'There is no checkpoint'),
        ('text', 'is damaged'),
        (dict(state_dict={}), 'has no key `bls`'),
        (dict(bls=dict(version=99)), 'state of version 99'),
    ],
)
def test_work_dir_without_scores_is_refused(tmp_path, content, message):
    file = tmp_path / 'epoch_1.pth'
    if content == 'text':
        file.write_text(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(WorkDirError, match=message):
        analyze_scores.analyze(tmp_path, tmp_path / 'analyze')
    assert not (tmp_path / 'analyze').exists()


def test_work_dir_without_config_is_refused(run, tmp_path):
    file = run[0] / 'epoch_8.pth'
    (tmp_path / file.name).symlink_to(file)
    with pytest.raises(WorkDirError, match='There is no config'):
        analyze_scores.analyze(tmp_path, tmp_path / 'analyze')


def test_damaged_checkpoint_is_left_out(run, tmp_path):
    for number in (6, 7):
        name = f'epoch_{number}.pth'
        (tmp_path / name).write_bytes((run[0] / name).read_bytes())
    file = tmp_path / 'epoch_7.pth'
    file.write_bytes(file.read_bytes()[:-100])
    snapshots, left_out = read_snapshots(tmp_path)
    assert [s.path.name for s in snapshots] == ['epoch_6.pth']
    assert left_out == ['epoch_7.pth: is damaged']


def test_command_line_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['analyze_scores.py', str(tmp_path)])
    with pytest.raises(SystemExit, match='error: There is no checkpoint'):
        analyze_scores.main()


# Scalars


def test_resumed_part_replaces_what_it_does_again(tmp_path):
    for name, iters in (('20260101', (1, 2, 3, 4)), ('20260102', (3, 4, 5))):
        folder = tmp_path / name / 'vis_data'
        folder.mkdir(parents=True)
        lines = [
            f'{{"bls_kept": 1.0, "bls_saved": {name}, "iter": {i}}}'
            for i in iters
        ]
        (folder / 'scalars.json').write_text('\n'.join(lines))
    rows = read_scalars(tmp_path).rows
    assert [row['iter'] for row in rows] == [1, 2, 3, 4, 5]
    assert [row['bls_saved'] % 10 for row in rows] == [1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    'line', ['', '{"acc": 1, "step": 3}', '{"bls_kept": 1, "bls_sa']
)
def test_other_lines_are_passed_over(line):
    assert parse_row(line) is None


def test_names_with_their_mode_in_front_are_understood():
    line = '{"train/bls_kept": 0.5, "train/bls_saved": 0.1, "step": 3}'
    assert parse_row(line)['bls_kept'] == 0.5
    assert parse_row(line)['iter'] == 3


# Numbers


def test_mean_score_passes_over_the_middle_of_the_first_pass():
    def snapshot(passes, scores):
        return SimpleNamespace(passes=passes, scores=np.float32(scores))

    first = snapshot(0.5, [9, 0, 0])
    assert stats.mean_scores([first]).tolist() == [9, 0, 0]
    others = [snapshot(1, [1, 2, 3]), snapshot(2, [3, 2, 5])]
    assert stats.mean_scores([first, *others]).tolist() == [2, 2, 4]


def pairs(samples, classes):
    return stats.Labels(
        np.array(samples), np.array(classes), True, len(set(samples))
    )


def test_class_that_is_kept_less_than_chance_explains_is_flagged():
    rng = np.random.default_rng(0)
    classes = np.arange(3000) % 3
    kept = rng.random(3000) < np.where(classes == 2, 0.4, 0.6)
    rows = stats.summarise_classes(
        rng.random(3000),
        np.where(kept, 2.0, 0.0).astype(np.float32),
        pairs(np.arange(3000), classes),
        ['a', 'b', 'c'],
    )
    by_name = {row['name']: row for row in rows}
    assert [n for n in 'abc' if by_name[n]['starved']] == ['c']
    share = kept[classes == 2].mean()
    assert by_name['c']['kept'] == pytest.approx(share)
    assert by_name['c']['low'] < share < by_name['c']['high']
    assert by_name['c']['weight'] == pytest.approx(2 * share)


def test_false_alarms_are_as_rare_as_promised():
    rng = np.random.default_rng(1)
    labels = pairs(np.arange(2000), np.arange(2000) % 20)
    alarms = 0
    for _ in range(100):
        weights = (rng.random(2000) < 0.5).astype(np.float32)
        rows = stats.summarise_classes(weights, weights, labels, None)
        alarms += any(row['starved'] for row in rows)
    assert alarms <= 10


def test_sample_with_several_classes_counts_in_each():
    scores = np.float32([1, 2, 3])
    labels = pairs([0, 1, 1, 2], [5, 5, 7, 7])
    rows = stats.summarise_classes(scores, None, labels, None)
    assert [(r['name'], r['count']) for r in rows] == [('7', 2), ('5', 2)]
    assert [r['quantiles'][2] for r in rows] == [2.5, 1.5]


@pytest.mark.parametrize(
    'info, expected',
    [
        ({}, []),
        (dict(gt_label=3), [3]),
        (dict(gt_label=[4, 1]), [1, 4]),
        (dict(instances=[]), []),
        (
            dict(
                instances=[
                    dict(bbox_label=2),
                    dict(bbox_label=1, ignore_flag=1),
                    dict(bbox_label=2, ignore_flag=0),
                ]
            ),
            [2],
        ),
    ],
)
def test_classes_of_an_annotation(info, expected):
    assert stats.classes_of(info) == expected


def test_classes_of_a_label_map_are_all_but_the_ignored():
    def loader(info):
        return dict(info, gt_seg_map=np.uint8([[0, 2], [255, 2]]))

    assert stats.map_classes({}, [loader]) == [0, 2]


def test_pass_that_the_log_is_too_coarse_for_is_missing():
    rows = [
        dict(iter=50, bls_kept=1.0, bls_saved=0.0),
        dict(iter=100, bls_kept=0.5, bls_saved=0.2),
        dict(iter=150, bls_kept=0.5, bls_saved=0.2),
    ]
    scalars = Scalars(rows)
    assert [row['at'] for row in scalars.per_pass()] == [50, 100]
    assert not scalars.by_epoch


def test_charts_of_many_classes_show_both_ends():
    rows = [dict(value=i) for i in range(100)]
    shown = report.shown_classes(rows, lambda row: row['value'])
    assert [row['value'] for row in shown] == [*range(15), *range(85, 100)]
    assert report.shown_classes(rows[:30], lambda r: 0) == rows[:30]


def test_chart_takes_the_colours_and_the_size_of_the_page():
    svg = charts.histogram_chart(np.geomspace(1e-3, 1, 99), None)
    assert 'currentColor' in svg and '#010203' not in svg
    root = svg[: svg.index('>')]
    assert 'viewBox' in root and ' width=' not in root
    assert re.search(r'<rect [^>]*width=', svg)  # the clip path keeps its own
