"""The numbers of a comparison, its table and its plot."""

import copy
import io
import math

import pytest
from rich.console import Console
from studies import make_result

from bls_mm.comparison.report import make_table, save_plot
from bls_mm.comparison.summary import find_metric, summarise_runs

RESULTS = [
    make_result('full', 0, 98.0, 1000, 100.0),
    make_result('infobatch', 0, 97.0, 800, 90.0, 0.5),
    make_result('full', 1, 99.0, 1000, 200.0),
    make_result('infobatch', 1, 97.5, 700, 140.0, 0.5),
]


def test_summary_compares_times_with_the_full_run_of_the_same_seed():
    full, pruned = summarise_runs(RESULTS)
    assert full['metric'] == dict(mean=98.5, std=pytest.approx(0.5**0.5))
    assert full['setting'] == '4 epochs'
    assert pruned['setting'] == 'prune_ratio 0.50'
    assert pruned['visited']['mean'] == 750
    assert pruned['saved'] == dict(
        mean=pytest.approx(25), std=pytest.approx(50**0.5)
    )
    assert pruned['time_saved']['mean'] == pytest.approx((10 + 30) / 2)
    assert pruned['seeds'] == 2


def test_summary_counts_a_shorter_schedule_as_saved():
    fewer = make_result('fewer epochs', 0, 98.0, 750, 80.0)
    fewer['visited_unpruned'], fewer['saved'] = 750, 0.0
    _, row = summarise_runs([RESULTS[0], fewer])
    assert row['saved']['mean'] == pytest.approx(25)


def test_summary_has_no_spread_of_one_seed():
    rows = summarise_runs(RESULTS[:2])
    assert rows[1]['metric'] == dict(mean=97.0, std=None)


def render(results, metric=None):
    rows = summarise_runs(results, metric)
    console = Console(file=io.StringIO(), width=140)
    console.print(make_table(rows, metric or 'acc'))
    return console.file.getvalue()


def test_table_shows_mean_and_spread():
    text = render(RESULTS)
    assert '98.50 ± 0.71' in text
    assert '-1.25 ± 0.35' in text  # 1 and 1.5 below the full run of the seed
    assert '750 ± 71' in text
    assert '25.0 ± 7.1' in text
    assert '20.0 ± 14.1' in text
    assert 'sample standard deviation of 2 seeds' in text


def test_table_of_one_seed_has_no_spread():
    text = render(RESULTS[:2])
    assert '97.00' in text and '±' not in text


@pytest.mark.parametrize('acc', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('row', [0, 3])
def test_run_that_has_diverged_is_shown(acc, row):
    results = copy.deepcopy(RESULTS)
    results[row]['metrics']['acc'] = acc
    text = render(results)
    assert f'{acc:.4f} ± nan' in text
    assert '750 ± 71' in text


@pytest.mark.parametrize('acc', [98.0, math.nan, math.inf])
def test_plot_is_written(tmp_path, acc):
    results = copy.deepcopy(RESULTS)
    results[0]['metrics']['acc'] = acc
    rows = summarise_runs(results)
    save_plot(results, rows, 'acc', tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 10_000


@pytest.mark.parametrize(
    ('names', 'headline'),
    [
        (['aAcc', 'mIoU', 'mAcc'], 'mIoU'),
        (['icdar/precision', 'icdar/recall', 'icdar/hmean'], 'icdar/hmean'),
        (['coco/bbox_mAP', 'coco/segm_mAP'], 'coco/bbox_mAP'),
    ],
)
def test_metric_is_what_packages_rate_models_by(names, headline):
    result = dict(metrics=dict.fromkeys(names, 0.5))
    assert find_metric(result) == (headline, 0.5)


def test_metric_is_the_first_unless_named():
    result = make_result('full', 0, 98.0, 1000, 1.0)
    assert find_metric(result) == ('acc', 98.0)
    assert find_metric(result, 'top5') == ('top5', 99.0)
    with pytest.raises(ValueError, match=r'`mIoU`. Known: acc, top5'):
        find_metric(result, 'mIoU')
    with pytest.raises(ValueError, match='last validation gave no number'):
        find_metric(dict(metrics={}))
