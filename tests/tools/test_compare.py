"""`tools/compare.py`: matched controls, the summary of seeds, a whole run."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.config import Config
from rich.console import Console

from bls_mm.comparison import report as compare_report
from bls_mm.comparison import run as compare_run
from bls_mm.comparison import schedule as compare_schedule
from bls_mm.comparison import variants as compare_variants
from tools import compare
from tools.analysis_tools import compare_pool

TESTS = Path(__file__).parents[1]

TOY = """
custom_imports = dict(imports=['toy'], allow_failed_imports=False)
model = dict(type='ToyModel')
train_dataloader = dict(
    dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_size=4,
    num_workers=0,
    collate_fn=dict(type='default_collate'))
val_dataloader = dict(
    dataset=dict(type='ToyDataset'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    batch_size=20,
    num_workers=0,
    collate_fn=dict(type='default_collate'))
val_evaluator = dict(type='ToyMetric')
train_cfg = dict(by_epoch=True, max_epochs=8)
val_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
default_scope = 'mmengine'
"""


# What to run


@pytest.mark.parametrize(
    'prune, fewer, expected',
    [
        (['infobatch'], False, ['full', 'infobatch']),
        (['random'], False, ['full', 'random']),
        (
            ['random', 'seta', 'infobatch', 'seta'],
            True,
            ['full', 'seta', 'infobatch', 'random', 'fewer epochs'],
        ),
    ],
)
def test_variants_run_after_what_they_are_matched_to(prune, fewer, expected):
    assert compare_variants.variants(prune, fewer) == expected


@pytest.mark.parametrize(
    'kept, delta, expected',
    [
        # 12 passes: 10 before annealing, of which the first is full.
        ([1.0] + [0.7] * 9 + [1.0] * 2, 0.875, 0.3),
        ([1.0] + [0.9, 0.5] * 4 + [0.7] + [1.0] * 2, 0.875, 0.3),
        # SeTa saves in annealing too: 3 passes of 9 at 0.4, 2 at 0.1.
        ([1.0] + [0.6] * 3 + [1.0] * 6 + [0.9] * 2, 0.875, 1.4 / 9),
        ([1.0] * 12, 0.875, 0.0),
        ([1.0], 0.875, 0.0),
        ([1.0, 0.5], 0.5, 0.0),
        ([1.0, 0.5, 0.1, 0.1], 0.5, 0.99),
    ],
)
def test_matched_ratio_saves_as_much(kept, delta, expected):
    assert compare_variants.matched_ratio(kept, delta) == pytest.approx(
        expected
    )


def test_matched_ratio_is_the_formula():
    kept = [1.0, 0.8, 0.7, 0.75, 0.8, 0.72, 0.9, 1.0]
    epochs, saved = len(kept), 1 - sum(kept) / len(kept)
    expected = saved * epochs / (int(0.875 * epochs) - 1)
    assert compare_variants.matched_ratio(kept) == pytest.approx(expected)


ARGS = SimpleNamespace(
    config='c.py', cfg_options={}, prune_ratio=0.4, target_saving=None
)
REFERENCE = dict(saved=0.25, kept=[1, 0.5, 0.5, 0.5, 0.5, 1, 1, 1])


@pytest.mark.parametrize(
    'variant, reference, prune, ratio, share',
    [
        ('full', None, None, None, None),
        ('infobatch', None, 'infobatch', 0.4, None),
        ('infobatch:ema:batch', None, 'infobatch', 0.4, None),
        ('seta', REFERENCE, 'seta', 0.4, None),
        ('random', None, 'random', 0.4, None),
        ('random', REFERENCE, 'random', 2 / 6, None),
        ('fewer epochs', REFERENCE, None, None, 0.75),
    ],
)
def test_run_settings(variant, reference, prune, ratio, share):
    settings = compare_variants.run_settings(
        variant, 1, ARGS, 'hash', reference
    )
    assert settings['prune'] == prune
    assert settings['prune_ratio'] == pytest.approx(ratio)
    assert settings['schedule_share'] == share
    assert settings['score'] == ('ema:batch' if ':' in variant else None)
    assert settings['seed'] == 1


def test_random_pruning_takes_the_target_where_there_is_one():
    args = SimpleNamespace(
        **{**vars(ARGS), 'prune_ratio': None, 'target_saving': 0.3}
    )
    settings = compare_variants.run_settings(
        'random', 1, args, 'hash', REFERENCE
    )
    assert settings['target_saving'] == 0.3
    assert settings['prune_ratio'] is None


# A shorter schedule


@pytest.mark.parametrize(
    'length, share, before, after',
    [
        # 12 epochs become 9.
        (12, 0.76, dict(milestones=[8, 11]), dict(milestones=[6, 8])),
        (12, 0.76, dict(total_steps=12), dict(total_steps=9)),
        (12, 0.76, dict(begin=0, end=500), dict(begin=0, end=375)),
        (12, 0.76, dict(step_size=1), dict(step_size=1)),
        (12, 0.76, dict(periods=[4, 8]), dict(periods=[3, 6])),
        (
            12,
            0.76,
            dict(T_max=6, begin=6, end=12),
            dict(T_max=5, begin=4, end=9),
        ),
        (12, 0.76, dict(T_max=6, gamma=6), dict(T_max=4, gamma=6)),
        (12, 0.76, dict(begin=10, end=11), dict(begin=8, end=9)),
        (12, 1.0, dict(T_max=12, by_epoch=True), dict(T_max=12)),
        # A run is at least one epoch.
        (3, 0.1, dict(begin=0, end=3), dict(end=1)),
    ],
)
def test_compress_schedule(length, share, before, after):
    cfg = Config(
        dict(
            train_cfg=dict(by_epoch=True, max_epochs=length),
            param_scheduler=[dict(type='X', **before)],
        )
    )
    short = compare_schedule.compress_schedule(cfg, share)
    assert short.train_cfg.max_epochs == max(1, round(length * share))
    assert short.param_scheduler[0] == {'type': 'X', **before, **after}
    assert cfg.param_scheduler[0] == dict(type='X', **before)


def test_compress_schedule_of_an_iteration_based_run():
    cfg = Config(
        dict(
            train_cfg=dict(type='IterBasedTrainLoop', max_iters=1000),
            param_scheduler=dict(type='PolyLR', begin=0, end=1000),
        )
    )
    short = compare_schedule.compress_schedule(cfg, 0.805)
    assert short.train_cfg.max_iters == 805
    assert short.param_scheduler.end == 805


def test_compress_schedule_moves_the_switches_of_hooks():
    cfg = Config(
        dict(
            train_cfg=dict(max_epochs=300),
            param_scheduler=dict(
                generator=[dict(type='MultiStepLR', milestones=(100, 200))]
            ),
            custom_hooks=[dict(type='EMAHook', momentum=0.1)]
            + [dict(type='PipelineSwitchHook', switch_epoch=280)],
        )
    )
    short = compare_schedule.compress_schedule(cfg, 0.5)
    assert short.param_scheduler.generator[0].milestones == [50, 100]
    assert short.custom_hooks[0] == dict(type='EMAHook', momentum=0.1)
    assert short.custom_hooks[1].switch_epoch == 140


# The clock


def test_train_clock_leaves_validation_out(monkeypatch):
    now = iter([10, 13, 20, 24])  # epoch, validation, epoch, end
    monkeypatch.setattr(compare_run.time, 'perf_counter', lambda: next(now))
    clock = compare_run.TrainClock()
    clock.before_train_epoch(None)
    clock.before_val(None)
    clock.after_val_epoch(None, dict(acc=1))
    clock.after_val(None)
    clock.before_train_epoch(None)
    clock.after_train(None)
    assert clock.seconds == 3 + 4
    assert clock.metrics == dict(acc=1)


def test_train_clock_ignores_validation_before_training():
    clock = compare_run.TrainClock()
    clock.before_val(None)
    clock.after_val(None)
    assert clock._since is None


# The summary


def make_result(variant, seed, acc, visited, seconds, ratio=None):
    return dict(
        settings=dict(variant=variant, seed=seed),
        metrics=dict(acc=acc, top5=99.0),
        visited=visited,
        saved=1 - visited / 1000,
        train_seconds=seconds,
        kept=[1.0, visited / 1000],
        prune_ratio=ratio,
        target_saving=None,
        epochs=4,
        iterations=100,
    )


RESULTS = [
    make_result('full', 0, 98.0, 1000, 100.0),
    make_result('infobatch', 0, 97.0, 800, 90.0, 0.5),
    make_result('full', 1, 99.0, 1000, 200.0),
    make_result('infobatch', 1, 97.5, 700, 140.0, 0.5),
]


def test_summarise_compares_times_with_the_full_run_of_the_same_seed():
    full, pruned = compare_report.summarise(RESULTS)
    assert full['metric'] == dict(mean=98.5, std=pytest.approx(0.5**0.5))
    assert full['setting'] == '4 epochs'
    assert pruned['setting'] == 'prune_ratio 0.50'
    assert pruned['visited']['mean'] == 750
    assert pruned['saved'] == dict(
        mean=pytest.approx(25), std=pytest.approx(50**0.5)
    )
    assert pruned['time_saved']['mean'] == pytest.approx((10 + 30) / 2)
    assert pruned['seeds'] == 2


def test_summarise_counts_a_shorter_schedule_as_saved():
    fewer = make_result('fewer epochs', 0, 98.0, 750, 80.0)
    fewer['visited_unpruned'], fewer['saved'] = 750, 0.0
    _, row = compare_report.summarise([RESULTS[0], fewer])
    assert row['saved']['mean'] == pytest.approx(25)


def test_summarise_has_no_spread_of_one_seed():
    rows = compare_report.summarise(RESULTS[:2])
    assert rows[1]['metric'] == dict(mean=97.0, std=None)


def render(results, metric=None):
    rows = compare_report.summarise(results, metric)
    console = Console(file=io.StringIO(), width=140)
    console.print(compare_report.make_table(rows, metric or 'acc'))
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


def test_plot_is_written(tmp_path):
    rows = compare_report.summarise(RESULTS)
    compare_report.plot(RESULTS, rows, 'acc', tmp_path / 'plot.png')
    assert (tmp_path / 'plot.png').stat().st_size > 10_000


def test_metric_of():
    result = make_result('full', 0, 98.0, 1000, 1.0)
    assert compare_report.metric_of(result) == ('acc', 98.0)
    assert compare_report.metric_of(result, 'top5') == ('top5', 99.0)
    with pytest.raises(ValueError, match=r'`mIoU`. Known: acc, top5'):
        compare_report.metric_of(result, 'mIoU')
    with pytest.raises(ValueError, match='has no validation'):
        compare_report.metric_of(dict(metrics={}))


# Several work dirs together


def write_results(folder, *accuracies):
    """A `compare.json` with two seeds: accuracies of full, pruned, random."""
    names, visits = ['full', 'infobatch', 'random'], [1000, 600, 600]
    runs = [
        make_result(name, seed, acc, count, 1.0) | dict(cpu_seconds=count / 2)
        for seed, row in enumerate(accuracies)
        for name, acc, count in zip(names, row, visits)
    ]
    folder.mkdir()
    content = json.dumps(dict(metric='acc', runs=runs))
    (folder / 'compare.json').write_text(content)


@pytest.fixture
def pool(tmp_path):
    """Work dirs with accuracies in per cent, and with a metric up to 1."""
    write_results(tmp_path / 'a', (98.0, 97.0, 96.5), (98.0, 98.0, 96.5))
    write_results(tmp_path / 'b', (0.5, 0.49, 0.48), (0.6, 0.57, 0.61))
    return tmp_path


def pool_table(folder, monkeypatch, capsys, *argv):
    """Cells of each row that `tools/analysis_tools/compare_pool.py` prints."""
    work_dirs = [str(folder / 'a'), str(folder / 'b')]
    monkeypatch.setattr(sys, 'argv', ['compare_pool.py', *work_dirs, *argv])
    compare_pool.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split('|')[1:-1] for line in lines if '|' in line]
    return {row[0].strip(): [cell.strip() for cell in row] for row in rows}


def test_pool_takes_the_differences_of_all_work_dirs(
    pool, monkeypatch, capsys
):
    rows = pool_table(pool, monkeypatch, capsys)
    assert rows['to full'][1:4] == ['a', 'b', 'all']
    assert rows['full'][1:3] == ['98.00', '55.00 ± 7.07']
    assert rows['infobatch'][1:] == [
        '-0.50 ± 0.71',  # -1 and 0
        '-2.00 ± 1.41',  # -1 and -3
        '-1.25 ± 1.26',  # all four
        '0.63',
        '4',
        '40.0',
        '40.0',
    ]


def test_pool_pairs_any_two_variants_by_seed(pool, monkeypatch, capsys):
    rows = pool_table(pool, monkeypatch, capsys, '--to', 'random')
    assert rows['infobatch'][1:4] == [
        '+1.00 ± 0.71',  # 0.5 and 1.5
        '-1.50 ± 3.54',  # 1 and -4
        '-0.25 ± 2.53',
    ]
    rows = pool_table(
        pool, monkeypatch, capsys, '--to', 'random', '--seeds', '1'
    )
    assert rows['infobatch'][1:4] == ['+1.50', '-4.00', '-1.25 ± 3.89']


def test_pool_names_what_is_not_there(pool, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r'no run of `seta`.*full, infobat'):
        pool_table(pool, monkeypatch, capsys, '--to', 'seta')
    with pytest.raises(SystemExit, match='It has none'):
        pool_table(pool, monkeypatch, capsys, '--seeds', '7')
    (pool / 'b/compare.json').unlink()
    with pytest.raises(SystemExit, match='error: .*b/compare.json'):
        pool_table(pool, monkeypatch, capsys)


# Whole runs


@pytest.fixture
def toy(tmp_path, monkeypatch):
    monkeypatch.setenv('PYTHONPATH', str(TESTS / 'helpers'))
    file = tmp_path / 'toy_config.py'
    file.write_text(TOY)
    return [str(file), '--work-dir', str(tmp_path / 'out')]


@pytest.mark.slow
def test_compare_runs_and_keeps_results(toy, tmp_path, capfd):
    argv = [*toy, '--prune', 'infobatch', 'random', '--fewer-epochs']
    args = compare.parse_args(argv)
    compare.report(compare.run_all(args), args)
    content = json.loads((tmp_path / 'out/compare.json').read_text())
    full, pruned, random, fewer = content['runs']
    assert full['visited'] == full['visited_unpruned'] == 8 * 40
    assert pruned['visited_unpruned'] == 8 * 40
    assert pruned['visited'] < 8 * 40
    assert len(pruned['kept']) == 8
    assert abs(random['visited'] - pruned['visited']) <= 8  # rounding
    assert fewer['epochs'] == round(8 * (1 - pruned['saved']))
    assert fewer['visited'] == fewer['epochs'] * 40
    assert 0 < pruned['train_seconds'] < 60
    assert [row['variant'] for row in content['table']] == [
        'full', 'infobatch', 'random', 'fewer epochs',
    ]  # fmt: skip
    assert content['metric'] == 'acc'
    assert (tmp_path / 'out/compare.png').exists()
    output = capfd.readouterr().out
    assert 'Epoch(train)' in output and 'time saved %' in output

    args = compare.parse_args([*argv, '--resume'])
    assert compare.run_all(args) == content['runs']
    assert 'Epoch(train)' not in capfd.readouterr().out


@pytest.mark.slow
def test_compare_fails_with_the_end_of_the_output(toy, tmp_path):
    option = 'model.type=NoSuchModel'
    args = compare.parse_args([*toy, '--cfg-options', option])
    with pytest.raises(RuntimeError, match=r'(?s)output\.log.*NoSuchModel'):
        compare.run_all(args)


def test_compare_refuses_an_unknown_pruner_before_it_trains(toy, tmp_path):
    args = compare.parse_args([*toy, '--prune', 'magic'])
    with pytest.raises(ValueError, match='Known: InfoBatch'):
        compare.run_all(args)
    assert not (tmp_path / 'out').exists()
