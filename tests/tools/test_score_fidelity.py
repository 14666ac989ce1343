"""`score_fidelity.py` and the score `true` of `tools/compare.py`."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from torch.nn.functional import cross_entropy
from toy import hook_of

from bls_mm.analysis.true_losses import (
    fidelity,
    solve,
    true_loss_dataset,
    true_losses,
)
from bls_mm.comparison import run as compare_run
from tools import train
from tools.analysis_tools import score_fidelity
from tools.dataset_converters import prepare_mnist

ROOT = Path(__file__).parents[2]

CONFIG = str(ROOT / 'configs/demo/resnet_mnist.py')
SIZE = 96


@pytest.fixture(scope='module')
def options(tmp_path_factory):
    """Settings of a run of 96 digits, three epochs of three batches."""
    folder = tmp_path_factory.mktemp('digits') / 'mnist5k'
    prepare_mnist.ensure(folder)
    settings = {
        'train_cfg.max_epochs': 3,
        'train_cfg.val_interval': 3,
        'param_scheduler.total_steps': 3,
        'train_dataloader.dataset.indices': list(range(0, 40 * SIZE, 40)),
        'val_dataloader.dataset.indices': 20,
    }
    for split in ('train', 'val', 'test'):
        loader = f'{split}_dataloader'
        settings[f'{loader}.dataset.data_root'] = str(folder)
        settings[f'{loader}.num_workers'] = 0
        settings[f'{loader}.persistent_workers'] = False
    return settings


# Measures


def test_fidelity_of_the_truth_and_of_its_opposite():
    truth = np.arange(100.0)
    best, worst = fidelity(truth, truth), fidelity(-truth, truth)
    assert best['spearman'] == pytest.approx(1)
    assert worst['spearman'] == pytest.approx(-1)
    assert (best['recall10'], worst['recall10']) == (1, 0)
    assert best['mass10'] == pytest.approx(truth[90:].sum() / truth.sum())
    assert worst['mass30'] == pytest.approx(truth[:30].sum() / truth.sum())


def test_solve_finds_losses_that_do_not_change():
    generator = np.random.default_rng(0)
    losses = generator.lognormal(size=60)
    batches = []
    for _ in range(40):
        order = generator.permutation(60).reshape(-1, 2)
        batches += [(ids.tolist(), losses[ids].mean()) for ids in order]
    found = solve(batches, 60)
    assert np.corrcoef(found, losses)[0, 1] > 0.95


# Runs


def build(options, folder, score):
    settings = dict(
        config=CONFIG,
        cfg_options=options,
        seed=0,
        prune='infobatch',
        prune_ratio=None,
        target_saving=0.3,
        score=score,
        schedule_share=None,
    )
    cfg = compare_run.run_config(settings, str(folder))
    cfg.experiment_name = folder.name  # MMEngine's hubs are global
    return train.build_runner(cfg)


@pytest.mark.slow
def test_true_losses_are_those_of_each_sample_alone(options, tmp_path):
    runner = build(options, tmp_path, 'ema:batch:alpha=0.5')
    runner.train()
    rule = hook_of(runner).score
    assert (type(rule).__name__, rule.alpha) == ('EMAScore', 0.5)
    model = runner.model
    model.train()
    dataset = true_loss_dataset(runner.cfg)
    found = true_losses(model, dataset)
    assert model.training and model.backbone.training
    assert len(found) == SIZE
    model.eval()
    for index in (0, 7, SIZE - 1):
        sample = dataset[index]
        pixels = (sample['inputs'][None].float() - 33.3) / 78.6
        with torch.no_grad():
            logits = model(pixels, mode='tensor')
        label = sample['data_samples'].gt_label
        expected = cross_entropy(logits, label).item()
        assert found[index] == pytest.approx(expected, rel=1e-4)


class Compare(Hook):
    """Note scores and true losses once an epoch has been selected."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.pairs = []

    def before_train_epoch(self, runner):
        truth = true_losses(runner.model, true_loss_dataset(runner.cfg))
        self.pairs.append((hook_of(runner).scores.clone(), truth))


@pytest.mark.slow
def test_score_true_selects_by_the_losses_of_the_moment(options, tmp_path):
    runner = build(options, tmp_path, 'true')
    compare = Compare()
    runner.register_hook(compare)
    runner.train()
    assert not compare.pairs[0][0].any()
    for scores, truth in compare.pairs[1:]:
        np.testing.assert_allclose(scores.numpy(), truth, rtol=1e-4)


def test_score_true_needs_epochs(options, tmp_path):
    loop = {
        'train_cfg': dict(
            _delete_=True, by_epoch=False, max_iters=4, val_interval=4
        )
    }
    runner = build({**options, **loop}, tmp_path, 'true')
    with pytest.raises(ValueError, match='`true` needs a loop with epochs'):
        runner.train()


@pytest.mark.slow
def test_run_reports_every_score_every_few_passes(options, tmp_path):
    specs = ['mart', 'ema', 'ema:batch:init=first', 'offline']
    args = score_fidelity.parse_args(
        [CONFIG, '--every', '2', '--work-dir', str(tmp_path), '--scores']
        + specs
    )
    args.cfg_options = options
    rows = score_fidelity.run(args, batch_size=16, seed=1)
    assert [(row['score'], row['passes']) for row in rows] == [
        (spec, 2) for spec in [*specs, 'true']
    ]
    found = {row['score']: row['spearman'] for row in rows}
    assert found['true'] == pytest.approx(1)
    assert rows[-1]['mass30'] == max(row['mass30'] for row in rows)
    assert found['mart'] > found['offline']
    assert found['ema'] > found['ema:batch:init=first']
    table = score_fidelity.make_table(rows)
    assert table.row_count == len(rows)
    score_fidelity.plot(rows, tmp_path / 'fidelity.png')
    assert (tmp_path / 'fidelity.png').stat().st_size > 10_000
