"""Losses that are left out in a module, or changed outside of it."""

import pytest
import torch
from mmengine.registry import MODELS
from odd_losses import Plain
from torch.nn.functional import cross_entropy
from toy import hook_of, train

from bls_mm.losses.outside import add_outside


def rows_of(batches=20, size=4):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batches, size, generator=generator).mul(0.8).exp()


@pytest.mark.parametrize('constant', [0.0, 3.0])
@pytest.mark.parametrize('factor', [0.1, 0.5, 2.0, 10.0])
def test_factor_is_found_beside_a_constant(factor, constant):
    rows = rows_of()
    found = add_outside(rows, factor * rows.mean(1) + constant)
    torch.testing.assert_close(found, factor * rows + constant)


def test_nothing_outside_changes_no_bit():
    rows = rows_of()
    losses = rows.mean(1)
    expected = rows + (losses - rows.mean(1))[:, None]
    assert torch.equal(add_outside(rows, losses), expected)


def test_what_is_no_factor_is_shared():
    rows = rows_of()
    generator = torch.Generator().manual_seed(5)
    other = 3 * torch.rand(len(rows), generator=generator)
    found = add_outside(rows, rows.mean(1) + other)
    torch.testing.assert_close(found, rows + other[:, None])


@pytest.mark.parametrize('batches', [1, 3, 20])
def test_no_loss_of_a_sample_becomes_negative(batches):
    rows = rows_of(batches)
    generator = torch.Generator().manual_seed(2)
    losses = rows.mean(1) * 0.1 * torch.rand(batches, generator=generator)
    found = add_outside(rows, losses)
    assert (found >= 0).all()
    torch.testing.assert_close(found.mean(1), losses)


def test_losses_below_zero_stay_there():
    rows = rows_of(3) - 4
    assert torch.equal(add_outside(rows, rows.mean(1)).sign(), rows.sign())


@MODELS.register_module(force=True)
class LabelledOnly(Plain):
    """Leaves samples without a label out."""

    def forward(self, scores, labels):
        known = labels >= 0
        losses = cross_entropy(scores[known], labels[known], reduction='none')
        if self.reduction == 'none':
            return losses
        return losses.sum() / known.sum().clamp(min=1)


@pytest.mark.parametrize('known', [39, 30, 4, 0])
def test_run_with_unlabelled_samples_ends_normally(known, tmp_path, logged):
    model = dict(type='ToyHead', loss='LabelledOnly', known=known)
    hook = dict(type='BLSHook', score=dict(type='EMAScore', alpha=0.0))
    runner = train(
        tmp_path,
        model=model,
        custom_hooks=[hook],
        train_cfg__max_epochs=1,
        optim_wrapper__optimizer__lr=0.0,
    )
    scores = hook_of(runner).scores
    assert scores.isfinite().all() and runner.iter == 10
    if known >= 30:  # where all labels are known each sample has its own
        points = runner.train_dataloader.dataset.points
        own = cross_entropy(
            runner.model.linear(points),
            (points.sum(1) > 0).long(),
            reduction='none',
        )
        has_own = (scores - own).abs() < 1e-6
        misfits = len(scores) - int(has_own.sum())
        assert 0 < misfits <= 4 * (40 - known)
    line = 'LabelledOnly has no loss for each sample of some batches'
    assert len(logged) == 1 and line in logged[0]


@pytest.mark.parametrize('factor', [0.1, 10.0])
def test_factor_of_a_head_is_that_of_the_scores(factor, tmp_path):
    hook = dict(type='BLSHook', score=dict(type='EMAScore', alpha=0.0))
    runner = train(
        tmp_path,
        model=dict(type='ToyHead', factor=factor),
        custom_hooks=[hook],
        train_cfg__max_epochs=1,
        optim_wrapper__optimizer__lr=0.0,
    )
    points = runner.train_dataloader.dataset.points
    labels = (points.sum(1) > 0).long()
    own = cross_entropy(runner.model.linear(points), labels, reduction='none')
    expected = factor * own.detach()
    torch.testing.assert_close(hook_of(runner).scores, expected)
