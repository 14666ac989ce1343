"""A model that belongs to no OpenMMLab package: multi-view stereo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from toy import Recorder, hook_of

from bls_mm import MARTScore

ROOT = Path(__file__).parents[2]
CONFIG = 'plane-sweep_1xb8-bls-infobatch-12e_rendered.py'


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)


def run(tmp_path, epochs=8, size=96):
    config = Config.fromfile(ROOT / 'configs/mmengine' / CONFIG)
    config.work_dir = str(tmp_path)
    config.experiment_name = tmp_path.name
    config.train_dataloader.dataset.size = size
    config.val_dataloader.dataset.size = 50
    config.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    config.log_level = 'WARNING'
    runner = Runner.from_cfg(config)
    recorder = LossTerms()
    runner.register_hook(recorder)
    runner.train()
    return runner, recorder


class LossTerms(Recorder):
    """Write down the loss terms instead of what a toy run has."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.numbers.append(hook_of(runner)._run.batch.ids.tolist())

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        terms = ('loss_depth', 'loss_coarse')
        self.losses.append(sum(outputs[key].item() for key in terms))


def test_stereo_model_is_scored_by_two_of_its_loss_terms(tmp_path):
    runner, recorder = run(tmp_path)
    expected, rule = torch.zeros(96), MARTScore()
    for ids, loss in zip(recorder.numbers, recorder.losses):
        rule.update(expected, torch.tensor(ids), torch.tensor(loss))
    torch.testing.assert_close(hook_of(runner).scores, expected)


def test_stereo_run_is_pruned_and_learns(tmp_path):
    runner, recorder = run(tmp_path)
    hook = hook_of(runner)
    assert runner.iter == runner.max_iters < 0.95 * 8 * 12
    assert hook.visited < 0.9 * hook.visited_unpruned
    first, last = (np.mean(recorder.losses[part]) for part in PARTS)
    assert last < 0.8 * first


PARTS = (slice(0, 12), slice(-12, None))


def test_rendered_depth_is_that_of_the_views(monkeypatch):
    """Where the views match best is where the depth says."""
    from configs.mmengine.plane_sweep import (
        FOCAL_BASELINE,
        RenderedPairs,
        shift_columns,
    )

    pair = RenderedPairs(1, seed=5)[0]
    disparity = (FOCAL_BASELINE / pair['depth']).mean().item()
    first, second = pair['views'][:, None, None]
    errors = {
        shift: (first - shift_columns(second, shift)).abs().mean().item()
        for shift in (0.0, disparity, 2 * disparity)
    }
    assert min(errors, key=errors.get) == disparity
