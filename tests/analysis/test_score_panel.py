"""When the scores of a run are compared with the truth."""

import numpy as np
import pytest
from mmengine.hooks import Hook
from toy import make_runner

from bls_mm.analysis import score_panel
from bls_mm.analysis.score_panel import ScorePanel, TruthHook

ITERATIONS = dict(type='IterBasedTrainLoop', max_iters=10)


class NotedTruth(Hook):
    """Note after how many iterations the truth is measured."""

    def __init__(self, monkeypatch):
        self.at = []
        monkeypatch.setattr(score_panel, 'measure_true_losses', self.measure)

    def before_train(self, runner):
        self.runner = runner

    def measure(self, model, dataset):
        self.at.append(self.runner.iter + 1)
        return np.arange(1.0, 41.0)


@pytest.mark.parametrize(
    'changes, at',
    [
        (dict(), [6, 12]),
        (dict(train_dataloader__drop_last=True), [3, 6]),
        (dict(train_cfg=ITERATIONS), [5, 10]),  # batches are always full
    ],
)
def test_truth_is_measured_at_the_ends_of_passes(
    tmp_path, monkeypatch, changes, at
):
    score = ScorePanel(['ema:batch'])
    runner = make_runner(
        tmp_path,
        train_dataloader__batch_size=24,
        train_dataloader__sampler__pruner=None,
        custom_hooks=[dict(type='BLSHook', score=score)],
        **changes,
    )
    noted, truth = NotedTruth(monkeypatch), TruthHook(range(40), every=3)
    runner.register_hook(noted)
    runner.register_hook(truth)
    runner.train()
    assert noted.at == at
    assert [row['passes'] for row in truth.rows] == [3, 3, 6, 6]


def test_part_of_a_dataset_is_refused_before_training(tmp_path):
    hook = dict(type='BLSHook', score=ScorePanel(['ema:batch']))
    runner = make_runner(tmp_path, custom_hooks=[hook])
    runner.register_hook(TruthHook(range(50), every=3))
    with pytest.raises(ValueError, match='scores 40 samples, .* has 50'):
        runner.train()
    assert runner.iter == 0
