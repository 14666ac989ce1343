"""`analyze_scores`: what the report says, and when there is none."""

import csv
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from pictures import on_pictures
from toy import hook_of

from bls_mm.analysis import WorkDirError, analyze_scores
from bls_mm.analysis.snapshots import read_snapshots
from bls_mm.analysis.table import COLUMNS
from bls_mm.analysis.work_dir import read_config


@pytest.fixture(scope='module')
def report(run, tmp_path_factory):
    return analyze_scores(run[0], tmp_path_factory.mktemp('analyze'), top=4)


def rows_of(report):
    with report.table.open(newline='') as file:
        return list(csv.DictReader(file))


def page_of(report):
    return report.page.read_text(encoding='utf-8')


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


def test_csv_has_each_sample_with_its_score_and_rank(run, report):
    rows = rows_of(report)
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


def test_csv_tells_what_the_last_pruned_pass_kept(run, report):
    pruned = [s for s in read_snapshots(run[0])[0] if s.weights is not None]
    assert pruned
    kept = [int(row['kept']) for row in rows_of(report)]
    assert kept == (pruned[-1].weights > 0).astype(int).tolist()
    number = pruned[-1].numbers['number'] + 1
    assert f'pass {number} kept' in page_of(report)


def test_report_is_one_file_that_loads_nothing(report):
    text = page_of(report)
    page = Page(text)
    assert not page.open
    assert all(x.startswith(('data:image/', '#')) for x in page.loaded)
    outside = re.sub(r'xmlns(:\w+)?="[^"]*"', '', text)
    assert 'http' not in outside and '<script' not in text


def test_report_has_all_its_parts(report):
    text = page_of(report)
    assert text.count('<svg') == 5
    # Four of each of three kinds; the hardest stand in the answer too.
    assert text.count('data:image/jpeg') == 4 * 4
    for words in (
        'Kept share',
        'Scores over time',
        'Scores of classes',
        'Does pruning starve a class?',
        'Suspected label errors',
    ):
        assert f'{words}</h2>' in text
    assert 'nan' not in re.sub(r'base64,\S+', '', text)


def test_report_opens_with_the_answer(run, report):
    hook, iterations = hook_of(run[1]), run[1].iter
    planner = hook.planner
    assert report.saved.visits == pytest.approx(planner.saved)
    assert report.metrics == {'toy/acc': 1.0}
    saved, time, accuracy = report.answer.paid
    assert saved == (
        f'Pruning saved {100 * planner.saved:.1f} % of the visits: '
        f'{planner.visited} instead of 192 by the end of pass 8 of 8.'
    )
    pattern = rf'{48 - iterations} of 48 iterations were skipped, about \d+ s'
    assert re.match(pattern, time)
    assert accuracy == 'The last of 8 validations: toy/acc 1.'
    classes, samples, starved = report.answer.hard
    names = ['low', 'high']
    hardest = max((0, 1), key=lambda n: np.median(hook.scores[n::2]))
    assert re.match(
        rf'Hardest classes by median score: {names[hardest]} \(\S+\). '
        rf'The easiest: {names[1 - hardest]} ',
        classes,
    )
    share = hook.scores.topk(2).values.sum() / hook.scores.sum()
    assert f'tenth of the samples holds {100 * share:.0f} % of' in samples
    assert starved == 'No class is kept less than chance explains.'
    text = page_of(report)
    places = [
        text.index(words)
        for words in (*report.answer.paid, *report.answer.hard, '<svg')
    ]
    assert places == sorted(places)


# What is not known is left out, and said


def test_one_checkpoint_has_no_history(link):
    report = analyze_scores(link('epoch_8.pth'), top=2)
    text = page_of(report)
    assert 'There is one checkpoint only' in text
    assert 'so the time is not known' in report.answer.paid[1]
    assert 'No validation was logged' in report.answer.paid[2]
    assert 'would keep by these scores' in text
    assert text.count('<svg') == 3


def test_dataset_without_images_or_labels_leaves_the_scores(
    train_run, tmp_path
):
    train_run(tmp_path, train_cfg__max_epochs=2)
    report = analyze_scores(tmp_path)
    text = page_of(report)
    assert 'loads no `img`' in text and '<img' not in text
    assert 'The hardest samples</h2>' not in text
    assert 'Does pruning starve' not in text
    assert report.answer.paid[0].startswith('Nothing was pruned')
    rows = rows_of(report)
    assert len(rows) == 40 and not rows[0]['classes'] and not rows[0]['kept']


def test_dataset_that_is_gone_leaves_the_scores(run, link):
    work_dir = link('epoch_8.pth', config=False)
    config = read_config(run[0])
    config.train_dataloader.dataset.pipeline = [dict(type='GoneTransform')]
    config.dump(work_dir / 'config.py')
    report = analyze_scores(work_dir)
    assert 'dataset could not be built' in report.notes[0]
    assert report.notes[0].replace("'", '&#39;') in page_of(report)
    assert len(rows_of(report)) == 24


def test_iteration_based_run_with_repeats_is_reported(train_run, tmp_path):
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
    runner = train_run(tmp_path, **changes)
    report = analyze_scores(tmp_path, top=2)
    assert report.saved.visits == pytest.approx(hook_of(runner).planner.saved)
    assert report.saved[2:4] == (45 - runner.iter, 45)
    assert 'after 7.5 passes' in page_of(report)
    assert len(rows_of(report)) == 24


@pytest.mark.parametrize(
    'content, message',
    [
        (None, 'There is no checkpoint'),
        ('text', 'is damaged'),
        (dict(state_dict={}), 'has no key `bls`'),
        (dict(bls=dict(version=99)), 'state of version 99'),
        (dict(bls=print), 'cannot be loaded safely .*print'),
    ],
)
def test_work_dir_without_scores_is_refused(tmp_path, content, message):
    file = tmp_path / 'epoch_1.pth'
    if content == 'text':
        file.write_text(content)
    elif content is not None:
        torch.save(content, file)
    with pytest.raises(WorkDirError, match=message):
        analyze_scores(tmp_path)
    assert not (tmp_path / 'analyze').exists()


def test_work_dir_without_config_is_refused(link):
    with pytest.raises(WorkDirError, match='There is no config'):
        analyze_scores(link('epoch_8.pth', config=False))


def test_negative_number_of_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match='`top` should be 0 or more'):
        analyze_scores(tmp_path, top=-1)


@pytest.mark.parametrize('missing', ['jinja2', 'matplotlib', 'PIL'])
def test_missing_package_is_named_with_its_extra(monkeypatch, missing):
    for name in list(sys.modules):
        if name.startswith(('bls_mm.analysis', f'{missing}.')):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ModuleNotFoundError, match=rf'{missing}.*bls_mm\[demo'):
        import bls_mm.analysis  # noqa: F401
