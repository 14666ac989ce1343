"""True losses, and the score of `compare` that is made of them."""

import sys

import numpy as np
import pytest
import torch
from blobs import CONFIG, SIZE
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from torch import nn
from torch.nn.functional import cross_entropy
from toy import hook_of, make_runner

from bls_mm.analysis.true_loss_dataset import (
    build_true_loss_dataset,
    make_true_loss_dataset,
)
from bls_mm.analysis.true_losses import (
    check_scipy,
    measure_true_losses,
    rate_scores,
    solve_losses,
)
from bls_mm.comparison.run import make_run_config
from bls_mm.comparison.true_scores import TrueScores
from bls_mm.runner.build import build_runner

# Measures


def test_rating_of_the_truth_and_of_its_opposite():
    truth = np.arange(100.0)
    best, worst = rate_scores(truth, truth), rate_scores(-truth, truth)
    assert best['spearman'] == pytest.approx(1)
    assert worst['spearman'] == pytest.approx(-1)
    assert (best['recall10'], worst['recall10']) == (1, 0)
    assert best['mass10'] == pytest.approx(truth[90:].sum() / truth.sum())
    assert worst['mass30'] == pytest.approx(truth[:30].sum() / truth.sum())


def test_rating_of_a_few_samples():
    rating = rate_scores(np.arange(3.0), np.arange(3.0))
    assert rating['recall10'] == 1
    assert rating['mass10'] == rating['mass30'] == pytest.approx(2 / 3)


def test_solve_finds_losses_that_do_not_change():
    generator = np.random.default_rng(0)
    losses = generator.lognormal(size=60)
    batches = []
    for _ in range(40):
        order = generator.permutation(60).reshape(-1, 2)
        batches += [(ids.tolist(), losses[ids].mean()) for ids in order]
    found = solve_losses(batches, 60)
    assert np.corrcoef(found, losses)[0, 1] > 0.95


VALIDATION = 'val_dataloader.dataset'
BARE = dict(_delete_=True, type='ToyDataset')


@pytest.mark.parametrize(
    'wrapper', [dict(type='RepeatDataset', times=2), None]
)
def test_pipeline_is_that_of_the_validation_data(wrapper):
    cfg = Config.fromfile(CONFIG)
    inner = cfg.val_dataloader.dataset
    if wrapper:
        cfg.val_dataloader.dataset = dict(wrapper, dataset=inner)
        cfg.train_dataloader.dataset = dict(
            wrapper, dataset=cfg.train_dataloader.dataset
        )
    dataset = make_true_loss_dataset(cfg)
    assert dataset['pipeline'] == inner.pipeline
    assert dataset['type'] != 'RepeatDataset'


@pytest.mark.parametrize(
    'changes, told',
    [
        ({VALIDATION: BARE}, 'should have a `pipeline`, .* a ToyDataset'),
        (
            {
                VALIDATION: dict(
                    _delete_=True, type='ConcatDataset', datasets=[BARE]
                )
            },
            'should have a `pipeline`, .* a ConcatDataset',
        ),
        (
            {'train_dataloader.num_batch_per_epoch': 5},
            'remove `train_dataloader.num_batch_per_epoch`',
        ),
        (dict(val_dataloader=None), 'has no `val_dataloader`'),
    ],
)
def test_true_losses_that_cannot_be_measured_are_refused(changes, told):
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(changes)
    with pytest.raises(ValueError, match=told):
        make_true_loss_dataset(cfg)


def test_score_true_of_a_part_of_a_dataset_is_refused(tmp_path, monkeypatch):
    build_part = 'bls_mm.comparison.true_scores.build_true_loss_dataset'
    monkeypatch.setattr(build_part, lambda cfg: range(50))
    runner = make_runner(tmp_path)
    runner.register_hook(TrueScores())
    with pytest.raises(ValueError, match='scores 40 samples, .* has 50'):
        runner.train()
    assert runner.iter == 0


def test_missing_scipy_is_named_with_what_installs_it(monkeypatch):
    check_scipy()
    monkeypatch.setitem(sys.modules, 'scipy.stats', None)
    with pytest.raises(ImportError, match=r'`scipy`.*"bls_mm\[demo\]"'):
        check_scipy()


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
    cfg = make_run_config(settings, str(folder))
    cfg.experiment_name = folder.name  # MMEngine's hubs are global
    return build_runner(cfg)


@pytest.mark.slow
def test_true_losses_are_those_of_each_sample_alone(options, tmp_path):
    runner = build(options, tmp_path, 'ema:batch:alpha=0.5')
    runner.train()
    rule = hook_of(runner).score
    assert (type(rule).__name__, rule.alpha) == ('EMAScore', 0.5)
    model = runner.model
    model.train()
    dataset = build_true_loss_dataset(runner.cfg)
    found = measure_true_losses(model, dataset)
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
    """Note scores and true losses whenever a pass is selected."""

    priority = 'LOW'  # before TrueScores, whose `select` is the outer one

    def __init__(self):
        self.pairs = []

    def before_train(self, runner):
        pruner = hook_of(runner).planner.sampler.pruner
        select = pruner.select
        dataset = build_true_loss_dataset(runner.cfg)

        def noting_select(scores, *args, **kwargs):
            truth = measure_true_losses(runner.model, dataset)
            self.pairs.append((scores.clone(), truth))
            return select(scores, *args, **kwargs)

        pruner.select = noting_select


class Linear(BaseModel):
    """A classifier, which may see the other samples of a batch."""

    def __init__(self, sees_others):
        super().__init__()
        self.linear, self.loss = nn.Linear(4, 3), nn.CrossEntropyLoss()
        self.sees_others, self.sizes = sees_others, []

    def forward(self, inputs, data_samples, mode):
        inputs = torch.stack(inputs)
        self.sizes.append(len(inputs))
        if self.sees_others:
            inputs = inputs - inputs.mean(0)
        logits = self.linear(inputs)
        return dict(loss=self.loss(logits, torch.stack(data_samples)))


@pytest.mark.parametrize(
    ('sees_others', 'sizes'),
    [(False, [8, *[1] * 8, 8, 4]), (True, [8] + [1] * 20)],
)
def test_samples_are_measured_together_where_it_is_the_same(
    sees_others, sizes
):
    torch.manual_seed(0)
    model = Linear(sees_others)
    dataset = [
        dict(inputs=torch.randn(4), data_samples=torch.tensor(i % 3))
        for i in range(20)
    ]
    alone = measure_true_losses(model, dataset, 1)
    model.sizes.clear()
    assert measure_true_losses(model, dataset, 8) == pytest.approx(alone)
    assert model.sizes == sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    'loop',
    [
        {},
        {
            'train_cfg': dict(
                _delete_=True,
                type='IterBasedTrainLoop',
                max_iters=9,
                val_interval=9,
            ),
            'train_dataloader.num_workers': 1,
        },
    ],
    ids=['epochs', 'iterations'],
)
def test_score_true_selects_by_the_losses_of_the_moment(
    options, tmp_path, loop
):
    runner = build({**options, **loop}, tmp_path, 'true')
    compare = Compare()
    runner.register_hook(compare)
    runner.train()
    assert len(compare.pairs) == 2
    for scores, truth in compare.pairs:
        np.testing.assert_allclose(scores.numpy(), truth, rtol=1e-4)
