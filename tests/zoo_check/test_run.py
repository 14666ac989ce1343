"""Training a config in small: what passes, and that defects are seen."""

import pytest

from bls_mm import BLSHook
from bls_mm.passes import selection
from bls_mm.runner import run_length
from bls_mm.runner.schedules import ScheduleHooks
from bls_mm.samplers.batch_tracker import BatchTracker
from bls_mm.zoo_check import check_config
from bls_mm.zoo_check.witness import RecordingScore

TOY = """
train_dataloader = dict(
    dataset=dict(type='BaseDataset'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_size=4,
    num_workers=2,
    persistent_workers=True)
train_cfg = dict(by_epoch=True, max_epochs=12)
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(type='CosineAnnealingLR', T_max=12, begin=0, end=12,
         convert_to_iter_based=True)]
"""


def verdict(folder, text=TOY):
    file = folder / 'config.py'
    file.write_text(text)
    return check_config(file, folder)


@pytest.mark.parametrize(
    'old, new',
    [
        ('', ''),
        ('by_epoch=True, max_epochs=12', 'by_epoch=False, max_iters=9000'),
        ('    batch_size=4', '    drop_last=True, batch_size=4'),
        (
            "dict(type='BaseDataset')",
            "dict(type='ConcatDataset', datasets=[dict(type='RepeatDataset', "
            "times=3, dataset=dict(type='BaseDataset')), "
            "dict(type='ClassBalancedDataset', oversample_thr=1e-3, "
            "dataset=dict(type='BaseDataset'))])",
        ),
    ],
)
def test_good_config_passes(tmp_path, old, new):
    result = verdict(tmp_path, TOY.replace(old, new, 1))
    assert result == dict(verdict='passed', reason='')


@pytest.mark.parametrize(
    'old, new, expected, reason',
    [
        ("    sampler=dict(type='DefaultSampler', shuffle=True),\n", '')
        + ('broken', "KeyError: 'sampler'"),
        ('BaseDataset', 'SinGANDataset', 'refused', 'ValueError: `train_d'),
        ('by_epoch=True, ', '', 'broken', "KeyError: 'by_epoch'"),
        (
            '_workers=True)',
            '_workers=True),',
            'broken',
            '`train_dataloader` i',
        ),
        ('train_cfg =', 'test_cfg =', 'no training', ''),
        ('train_cfg =', 'train_cfg = = ', 'unreadable', 'SyntaxError'),
    ],
)
def test_bad_config_is_told_apart(tmp_path, old, new, expected, reason):
    result = verdict(tmp_path, TOY.replace(old, new))
    assert result['verdict'] == expected
    assert result['reason'].startswith(reason)


record = RecordingScore.update


def shifted(self, scores, indices, loss):
    self.calls = getattr(self, 'calls', 0) + 1
    record(self, scores, (indices + (self.calls > 8)) % len(scores), loss)


def only_one(self, scores, indices, loss):
    record(self, scores, indices[:1], loss)


@pytest.mark.parametrize(
    'target, name, replacement, reason',
    [
        (RecordingScore, 'update', shifted, 'scored sample'),
        (RecordingScore, 'update', only_one, 'for a batch of'),
        (selection, 'is_pruned', lambda *_: False, 'nothing was pruned'),
        (ScheduleHooks, 'step', lambda *_: None, '_global_step'),
        (run_length, 'set_max_iters', lambda *_: None, 'announced'),
        (BLSHook, 'visited', 7, 'samples visited: 7'),
    ],
)
def test_defect_is_found(
    tmp_path, monkeypatch, target, name, replacement, reason
):
    monkeypatch.setattr(target, name, replacement)
    result = verdict(tmp_path)
    assert result['verdict'] == 'FAILED'
    assert reason in result['reason']


def test_own_error_in_mid_run_is_no_refusal(tmp_path, monkeypatch):
    monkeypatch.setattr(BatchTracker, 'record', lambda self, draw: draw())
    result = verdict(tmp_path)
    assert result['verdict'] == 'FAILED'
    assert 'does not know which samples' in result['reason']
