"""Whole comparisons: which runs are made, kept and refused."""

import io
import json

import numpy as np
import pytest
import torch
from rich.console import Console
from studies import PASSES, SAMPLES, FakeRuns, RunsHere, write_config
from toy import ToyMetric

from bls_mm.comparison import compare, read_metric


@pytest.fixture
def runs(request, monkeypatch):
    """Made up, unless a test asks for real ones."""
    return getattr(request, 'param', FakeRuns)(monkeypatch)


@pytest.fixture
def study(tmp_path, runs):
    """Compare, with these settings unless others are given."""
    config = write_config(tmp_path)

    def study(**changes):
        settings = dict(
            prune=['infobatch', 'random'],
            fewer_epochs=True,
            work_dir=tmp_path / 'out',
        )
        runs.made.clear()
        return compare(config, **{**settings, **changes})

    return study


ALL = ['full', 'infobatch', 'random', 'fewer_epochs']


@pytest.mark.parametrize('runs', [RunsHere], indirect=True)
def test_controls_are_matched_to_the_first_pruned_run(study, runs):
    found = study()
    assert runs.made == ALL
    full, pruned, random, fewer = found.runs
    visits = PASSES * SAMPLES
    assert full['visited'] == full['visited_unpruned'] == visits
    assert pruned['visited_unpruned'] == visits
    assert pruned['visited'] < visits
    assert len(pruned['kept']) == PASSES
    assert abs(random['visited'] - pruned['visited']) <= 8  # rounding
    assert fewer['epochs'] == round(PASSES * (1 - pruned['saved']))
    assert fewer['visited'] == fewer['epochs'] * SAMPLES
    assert 0 < pruned['train_seconds'] < 60
    assert [row['variant'] for row in found.rows] == [
        'full', 'infobatch', 'random', 'fewer epochs',
    ]  # fmt: skip
    assert found.metric == 'acc'
    content = json.loads(found.file.read_text())
    assert content['runs'] == found.runs
    assert content['table'] == found.rows
    assert found.plot.stat().st_size > 10_000
    assert found.make_table().row_count == 4


EARLY = """
custom_hooks = [dict(
    type='EarlyStoppingHook', monitor='acc', patience=2, min_delta=0.5)]
"""
ITERATIONS = """
train_cfg = dict(
    type='IterBasedTrainLoop', max_iters=80, val_interval=7)
train_dataloader['sampler'] = dict(type='InfiniteSampler')
"""


@pytest.mark.parametrize('runs', [RunsHere], indirect=True)
@pytest.mark.parametrize(
    'changes, epochs, visits',
    [
        ('train_dataloader.update(batch_size=24, drop_last=True)', 8, 8 * 24),
        ("train_dataloader['num_batch_per_epoch'] = 3", 8, 8 * 12),
        (f'{EARLY}train_cfg["val_interval"] = 1', 3, 3 * SAMPLES),
        (f'{EARLY}{ITERATIONS}', None, 3 * 7 * 4),
    ],
)
def test_visits_are_those_that_were_made(
    study, tmp_path, changes, epochs, visits
):
    with open(tmp_path / 'toy_config.py', 'a') as file:
        file.write(changes)
    found = study(prune=['none', 'infobatch'], fewer_epochs=False)
    full, none, pruned = found.runs
    for run in (full, none):
        assert run['visited'] == run['visited_unpruned'] == visits
        assert run['saved'] == 0
        assert run['epochs'] == epochs
        assert len(run['kept']) == (epochs or 3)
    batch = visits // full['iterations']
    assert pruned['visited'] <= pruned['iterations'] * batch
    assert pruned['visited_unpruned'] >= visits


def test_interrupted_study_goes_on_with_the_run_that_was_not_finished(
    study, runs
):
    runs.stop_at = 'random'
    with pytest.raises(KeyboardInterrupt):
        study()
    assert runs.made == ALL[:3]
    shown = io.StringIO()
    found = study(console=Console(file=shown, width=140))
    assert runs.made == ALL[2:]
    text = shown.getvalue()
    assert '==> Run 2 of 4: infobatch, seed 0, kept' in text
    assert '==> Run 3 of 4: random, seed 0\n' in text
    assert 'acc 1, 1,000 samples visited, 2 s' in text
    assert study().runs == found.runs
    assert runs.made == []


@pytest.mark.parametrize('runs', [RunsHere], indirect=True)
def test_metrics_are_numbers_of_any_type(study, monkeypatch):
    given = dict(
        text='0.5',
        curve=torch.ones(2),
        empty=np.ones(0),
        tensor=torch.tensor(0.5),
        array=np.array([0.25]),
        scalar=np.float32(0.75),
        count=np.int64(3),
    )
    monkeypatch.setattr(ToyMetric, 'compute_metrics', lambda *_: given)
    found = study(prune=[], fewer_epochs=False)
    numbers = dict(tensor=0.5, array=0.25, scalar=0.75, count=3)
    assert found.runs[0]['metrics'] == numbers
    assert found.metric == 'tensor'


@pytest.mark.parametrize('runs', [RunsHere], indirect=True)
@pytest.mark.parametrize(
    'validation',
    [dict(val_begin=8), dict(val_interval=5), dict(val_interval=100)],
)
def test_every_run_is_validated_at_its_end(study, tmp_path, validation):
    with open(tmp_path / 'toy_config.py', 'a') as file:
        file.write(f'train_cfg.update({validation})')
    found = study(prune='infobatch', target_saving=0.4)
    assert [run['metrics'] for run in found.runs] == 3 * [dict(acc=1)]
    assert found.runs[2]['epochs'] == 5


def test_study_that_has_not_ended_is_pooled_by_the_metric_it_is_made_for(
    study, runs, tmp_path
):
    study(fewer_epochs=False)
    assert read_metric(tmp_path / 'out') == 'acc'
    runs.stop_at = 'seta'
    with pytest.raises(KeyboardInterrupt):
        study(prune='seta', metric='top5')
    assert read_metric(tmp_path / 'out') == 'top5'
    with pytest.raises(ValueError, match='no metric `mIoU`'):
        study(fewer_epochs=False, metric='mIoU')
    assert read_metric(tmp_path / 'out') == 'top5'


def test_more_seeds_and_variants_keep_what_is_there(study, runs):
    study(prune='infobatch', fewer_epochs=False)
    study(prune=['infobatch', 'seta'], fewer_epochs=False, seeds=[0, 1, 1])
    assert runs.made == ['seta', 'full', 'infobatch', 'seta']


@pytest.mark.parametrize(
    'changes, told',
    [
        (dict(prune_ratio=0.3), '/infobatch .*`prune_ratio` was None'),
        (dict(cfg_options={'a': 1}), '/full .*`cfg_options` was {}'),
        # Only the run that random pruning is matched to is another one.
        (dict(prune=['seta', 'random']), '/random .*`prune_ratio` was 0'),
    ],
)
def test_runs_with_other_settings_are_refused(study, runs, changes, told):
    before = study(fewer_epochs=False)
    with pytest.raises(ValueError, match=told):
        study(fewer_epochs=False, **changes)
    assert runs.made == (['seta'] if 'prune' in changes else [])
    assert study(fewer_epochs=False).runs == before.runs
    assert runs.made == []


def test_runs_of_a_config_that_has_changed_are_made_anew_if_wanted(
    study, runs, tmp_path
):
    study()
    with open(tmp_path / 'toy_config.py', 'a') as file:
        file.write('randomness = dict(deterministic=False)\n')
    with pytest.raises(ValueError, match='content of the config has changed'):
        study()
    assert runs.made == []
    study(resume=False)
    assert runs.made == ALL


@pytest.mark.parametrize(
    'changes, told',
    [
        (dict(prune='magic'), 'Known: Importance'),
        (dict(prune='infobatch:magic'), 'Known: EMAScore'),
        (dict(seeds=[]), '`seeds` should have one'),
        (dict(prune=[]), '`fewer_epochs` needs a variant'),
        (dict(target_saving=1.5), '`target_saving` should be in'),
        (dict(cfg_options={'randomness.seed': 1}), r'Use `seeds` \(`--seeds'),
        (dict(cfg_options=dict(work_dir='x')), r'\(`--work-dir`\)'),
        (dict(cfg_options=dict(val_dataloader=None)), 'no metric to compare'),
        (
            dict(cfg_options={'train_cfg.val_begin': 9}),
            '`train_cfg.val_begin` should be at most 8',
        ),
        (
            dict(
                prune='infobatch:true',
                cfg_options={
                    'train_dataloader.dataset': dict(
                        _delete_=True, type='ConcatDataset', datasets=[]
                    )
                },
            ),
            'True losses of concatenated datasets .* has a ConcatDataset',
        ),
    ],
)
def test_bad_setting_is_refused_before_anything_is_trained(
    study, runs, tmp_path, changes, told
):
    with pytest.raises(ValueError, match=told):
        study(**changes)
    assert not (tmp_path / 'out').exists()


def test_options_that_fit_into_no_file_are_refused(study):
    with pytest.raises(TypeError, match='`cfg_options` go into a file: .*set'):
        study(cfg_options={'a': {1, 2}})


def test_unknown_metric_is_refused_after_the_first_run(study, runs):
    with pytest.raises(ValueError, match='`mIoU`. Known: acc'):
        study(metric='mIoU')
    assert runs.made == ['full']
