"""Scores compared with true losses in whole trainings."""

import io
import json

import pytest
from blobs import CONFIG
from rich.console import Console

from bls_mm.analysis import fidelity
from bls_mm.analysis.fidelity import make_fidelity_table, measure_fidelity


@pytest.mark.slow
def test_every_score_is_compared_every_few_passes(options, tmp_path):
    specs = ['mart', 'ema', 'ema:batch:init=first', 'offline']
    rows = measure_fidelity(
        CONFIG,
        scores=specs,
        batch_sizes=[16],
        seeds=[1],
        every=2,
        work_dir=tmp_path,
        cfg_options=options,
    )
    assert [(row['score'], row['passes']) for row in rows] == [
        (spec, 2) for spec in [*specs, 'true']
    ]
    assert {(row['batch_size'], row['seed']) for row in rows} == {(16, 1)}
    found = {row['score']: row['spearman'] for row in rows}
    assert found['true'] == pytest.approx(1)
    assert rows[-1]['mass30'] == max(row['mass30'] for row in rows)
    assert found['mart'] > found['offline']
    assert found['ema'] > found['ema:batch:init=first']
    assert json.loads((tmp_path / 'fidelity.json').read_text()) == rows
    assert (tmp_path / 'fidelity.png').stat().st_size > 10_000


@pytest.fixture
def trained(monkeypatch):
    """The trainings that were made, each of one row; none takes time."""
    trained = []

    def train(base, run, folder):
        fidelity.start_run(folder, run)
        trained.append((run['batch_size'], run['seed']))
        if trained == [(8, 0), (8, 1)]:
            raise KeyboardInterrupt
        value = 0.5 + 0.1 * run['seed']
        measures = dict.fromkeys(fidelity.MEASURES, value)
        shared = dict(batch_size=run['batch_size'], seed=run['seed'])
        return [dict(shared, score='mart', passes=3, **measures)]

    monkeypatch.setattr(fidelity, '_train', train)
    monkeypatch.setattr(fidelity, 'save_plot', lambda *_: None)
    return trained


def test_interrupted_measurement_goes_on(trained, tmp_path):
    settings = dict(batch_sizes=[8, 16], seeds=[0, 1], work_dir=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        measure_fidelity(CONFIG, **settings)
    shown = io.StringIO()
    console = Console(file=shown, width=100)
    rows = measure_fidelity(CONFIG, **settings, console=console)
    assert trained[2:] == [(8, 1), (16, 0), (16, 1)]
    assert shown.getvalue().splitlines() == [
        '==> Training 1 of 4: batches of 8, seed 0, kept',
        '==> Training 2 of 4: batches of 8, seed 1',
        '==> Training 3 of 4: batches of 16, seed 0',
        '==> Training 4 of 4: batches of 16, seed 1',
    ]
    assert measure_fidelity(CONFIG, **settings) == rows
    with pytest.raises(ValueError, match='batch8_seed0 has .*`every` was 3'):
        measure_fidelity(CONFIG, **settings, every=2)
    assert len(trained) == 5
    measure_fidelity(CONFIG, **settings, every=2, resume=False)
    assert len(trained) == 9
    table = make_fidelity_table(rows)
    assert table.row_count == 2
    assert list(table.columns[3].cells) == ['0.55 ± 0.07'] * 2


def test_what_is_named_twice_is_trained_once(trained, tmp_path):
    rows = measure_fidelity(
        CONFIG, batch_sizes=[4, 4], seeds=[0, 1, 0], work_dir=tmp_path
    )
    assert trained == [(4, 0), (4, 1)]
    assert len(rows) == 2


def test_batch_size_of_the_options_is_the_default(trained, tmp_path):
    options = {'train_dataloader.batch_size': 4}
    measure_fidelity(CONFIG, work_dir=tmp_path, cfg_options=options)
    assert trained == [(4, 0)]


@pytest.mark.parametrize(
    'setting, told',
    [
        (dict(every=0), '`every` should be in'),
        (dict(batch_sizes=[0]), '`batch_sizes` should be in'),
        (dict(cfg_options=dict(randomness=dict(seed=3))), 'Use `seeds`'),
    ],
)
def test_bad_setting_is_refused_before_training(
    trained, tmp_path, setting, told
):
    with pytest.raises(ValueError, match=told):
        measure_fidelity(CONFIG, work_dir=tmp_path / 'out', **setting)
    assert trained == []


def test_truth_that_would_never_be_taken_is_refused(options, tmp_path):
    with pytest.raises(
        ValueError, match='`every` should be at most [23], the'
    ):
        measure_fidelity(
            CONFIG, every=9, work_dir=tmp_path, cfg_options=options
        )


@pytest.mark.parametrize(
    'setting', [dict(scores=['magic']), dict(prune='magic')]
)
def test_unknown_name_is_refused_before_training(trained, tmp_path, setting):
    with pytest.raises(ValueError, match="'magic'. Known: "):
        measure_fidelity(CONFIG, work_dir=tmp_path / 'out', **setting)
    assert trained == []
    assert not (tmp_path / 'out').exists()
