"""Weights of single samples: what the optimizer steps with."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from record_reference_runs import ByShape
from torch import nn
from torch.nn.functional import cross_entropy, gaussian_nll_loss
from toy import hook_of, make_runner, train

from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.row_weights import weigh_rows
from bls_mm.pruners.weights import with_carried

WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.0])
LABELS = torch.tensor([0, 2, 1, 1])


@pytest.mark.parametrize('by_name', [False, True])
@pytest.mark.parametrize('shape', [(4, 3), (4, 3, 5, 2)])
def test_gradient_of_each_row_is_weighted(shape, by_name):
    scores = torch.rand(shape, requires_grad=True)
    labels = LABELS.view(4, *[1] * (len(shape) - 2)).expand(4, *shape[2:])
    args, kwargs = [scores, labels], {}
    if by_name:
        args, kwargs = [], dict(input=scores, target=labels)
    args, kwargs = weigh_rows(args, kwargs, WEIGHTS)
    loss = cross_entropy(*args, **kwargs)
    unweighted = cross_entropy(scores, labels, reduction='none')
    torch.testing.assert_close(loss, unweighted.mean())
    # What else is made of the scores is not weighted.
    (loss + scores.sum()).backward()
    weighted = unweighted * WEIGHTS.view(4, *[1] * (len(shape) - 2))
    wanted = torch.autograd.grad(weighted.mean(), scores)[0] + 1
    torch.testing.assert_close(scores.grad, wanted)


def test_all_predictions_are_weighted():
    mean, var = (torch.rand(4, 3).requires_grad_() for _ in range(2))
    target = torch.rand(4, 3)
    args, kwargs = weigh_rows([], dict(t=target, x=(mean, var)), WEIGHTS)
    assert kwargs['t'] is target
    gaussian_nll_loss(kwargs['x'][0], target, kwargs['x'][1]).backward()
    losses = gaussian_nll_loss(mean, target, var, reduction='none')
    weighted = (losses * WEIGHTS[:, None]).mean()
    for given, wanted in zip(
        (mean.grad, var.grad), torch.autograd.grad(weighted, (mean, var))
    ):
        torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize(
    ('first', 'weights'),
    [
        (torch.rand(4, 3, requires_grad=True), None),
        (torch.rand(4, 3), WEIGHTS),
        # As in a detector, a row is an anchor.
        (torch.rand(12, 3, requires_grad=True), WEIGHTS),
        ('none', WEIGHTS),
    ],
)
def test_other_values_are_passed_on(first, weights):
    args, kwargs = weigh_rows([first], dict(by_name=first), weights)
    assert args[0] is first and kwargs == dict(by_name=first)
    assert weigh_rows([], {}, weights) == ([], {})


class OwnLoss(nn.Module):
    """A loss without a reduction: it need not be a mean over samples."""

    def forward(self, scores, labels):
        return cross_entropy(scores, labels) ** 2


def test_loss_that_may_be_no_mean_is_not_weighted():
    heard = SampleLosses(nn.Sequential(loss := OwnLoss()))
    scores = torch.rand(4, 3, requires_grad=True)
    heard.begin(4, WEIGHTS)
    loss(scores, LABELS).backward()
    wanted = torch.autograd.grad(cross_entropy(scores, LABELS) ** 2, scores)
    torch.testing.assert_close(scores.grad, wanted[0])


@HOOKS.register_module(force=True)
class CompareSteps(Hook):
    """Compare the steps of the optimizer with gradients by hand."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.spreads, self.errors = [], []
        optimizer = runner.optim_wrapper.optimizer
        self.step = optimizer.step
        self.linear = runner.model.linear
        optimizer.step = self.compare

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        planner = hook_of(runner).planner
        weights = planner.weights
        number = data_batch['number']
        self.data, self.weights = data_batch, torch.ones(len(number))
        if weights is not None:
            carried = planner.sampler.carried, planner.carried_weights
            of_all = with_carried(weights, *carried)
            self.weights = of_all[number] / weights[weights > 0].mean()
        low, high = self.weights.aminmax()
        self.spreads.append(float(high - low))

    def compare(self, *args, **kwargs):
        losses = cross_entropy(
            self.linear(self.data['inputs']),
            self.data['label'],
            reduction='none',
        )
        wanted = torch.autograd.grad(
            (losses * self.weights).mean(), self.linear.weight
        )[0]
        error = (wanted - self.linear.weight.grad).norm() / wanted.norm()
        self.errors.append(float(error))
        return self.step(*args, **kwargs)


@pytest.mark.parametrize(
    'changes',
    [
        {},
        dict(train_dataloader__batch_size=1),
        dict(train_dataloader__num_workers=2),
        dict(
            train_dataloader__batch_sampler=dict(type=ByShape, drop_last=False)
        ),
        dict(train_cfg=dict(by_epoch=False, max_iters=80)),
    ],
)
def test_step_has_the_gradient_of_each_sample_by_its_weight(tmp_path, changes):
    runner = train(
        tmp_path,
        model=dict(type='ObservedModel'),
        train_dataloader__sampler__pruner=dict(
            type='Importance', target_saving=0.4
        ),
        custom_hooks=[dict(type='BLSHook'), dict(type='CompareSteps')],
        **changes,
    )
    watch = hook_of(runner, 'CompareSteps')
    assert len(watch.errors) == runner.iter
    assert max(watch.errors) < 1e-5
    single = runner.train_dataloader.batch_size == 1
    assert (max(watch.spreads) > 0.3) != single
    assert hook_of(runner).planner.saved == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ('model', 'hook', 'batch_size', 'told'),
    [
        ('ObservedModel', {}, 4, False),
        ('ObservedModel', dict(per_sample=False), 4, True),
        ('ToyModel', {}, 4, True),  # it has no loss module
        ('ToyModel', {}, 1, False),
    ],
)
def test_log_says_that_weights_do_not_reach_the_samples(
    tmp_path, model, hook, batch_size, told
):
    runner = make_runner(
        tmp_path,
        model=dict(type=model),
        train_dataloader__dataset__size=12,
        train_dataloader__batch_size=batch_size,
        train_dataloader__sampler__pruner=dict(type='Importance'),
        custom_hooks=[dict(type='BLSHook', **hook)],
        train_cfg__max_epochs=4,
    )
    messages = []
    runner.logger.warning = messages.append
    runner.train()
    said = 'Importance weighs single samples, which this run cannot'
    assert ''.join(messages).count(said) == int(told)


def test_step_is_not_weighted_without_rescaling(tmp_path):
    runner = train(
        tmp_path,
        model=dict(type='ObservedModel'),
        train_dataloader__sampler__pruner=dict(type='Importance'),
        custom_hooks=[
            dict(type='BLSHook', rescale_loss=False),
            dict(type='CompareSteps'),
        ],
    )
    assert max(hook_of(runner, 'CompareSteps').errors) > 0.05
    assert nn.CrossEntropyLoss in type(runner.model.loss).__mro__
