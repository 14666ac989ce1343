"""A model that belongs to no OpenMMLab package: multi-view stereo."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from toy import hook_of, record_scored

from bls_mm import MARTScore

ROOT = Path(__file__).parents[2]
CONFIG = 'plane-sweep_1xb8-bls-infobatch-12e_rendered.py'


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A run of 8 epochs over 96 samples, and the ids and losses it scored."""
    config = Config.fromfile(ROOT / 'configs/mmengine' / CONFIG)
    config.work_dir = str(tmp_path_factory.mktemp('stereo'))
    config.experiment_name = 'stereo'
    config.train_dataloader.dataset.size = 96
    config.val_dataloader.dataset.size = 50
    config.train_cfg.update(max_epochs=8, val_interval=8)
    config.log_level = 'WARNING'
    runner = Runner.from_cfg(config)
    terms, scored = LossTerms(), []
    runner.register_hook(terms)
    record_scored(runner, scored)
    runner.train()
    return runner, scored, terms.losses


class LossTerms(Hook):
    """Write down the sum of two loss terms."""

    def __init__(self):
        self.losses = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        terms = ('loss_depth', 'loss_coarse')
        self.losses.append(sum(outputs[key].item() for key in terms))


def test_stereo_model_is_scored_by_two_of_its_loss_terms(trained):
    runner, scored, losses = trained
    assert len(scored) == len(losses)
    expected, rule = torch.zeros(96), MARTScore()
    for ids, loss in zip(scored, losses):
        rule.update(expected, torch.tensor(ids), torch.tensor(loss))
    torch.testing.assert_close(hook_of(runner).scores, expected)


def test_stereo_run_is_pruned_and_learns(trained):
    runner, _, losses = trained
    hook = hook_of(runner)
    assert runner.iter == runner.max_iters < 0.95 * 8 * 12
    assert hook.visited < 0.9 * hook.visited_unpruned
    assert np.mean(losses[-12:]) < 0.8 * np.mean(losses[:12])


def test_rendered_depth_is_that_of_the_views():
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
