"""Wrong settings end in one error that names the entry, before training.

Here are some of each kind, end to end. All values that a setting may not have
are in the tests of what it belongs to.
"""

from inspect import signature

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, LOOPS, MODELS
from mmengine.runner import EpochBasedTrainLoop
from torch.utils.data import DataLoader
from toy import (
    VALIDATED,
    Recorder,
    ToyDataset,
    hook_of,
    make_runner,
    train,
)

ERRORS = (TypeError, ValueError, RuntimeError)
SAMPLER = 'train_dataloader__sampler'
PRUNER = 'train_dataloader.sampler.pruner'
INNER = 'train_dataloader.sampler.inner'
BLS = dict(type='BLSHook')


def hook(**settings):
    return dict(custom_hooks=[dict(type='BLSHook', **settings)])


def sampler(**settings):
    return {f'{SAMPLER}__{key}': value for key, value in settings.items()}


def pruner(kind, **settings):
    return sampler(pruner=dict(type=kind, **settings))


def loader(**settings):
    return {f'train_dataloader__{k}': v for k, v in settings.items()}


@DATASETS.register_module(force=True)
class ToyStream(torch.utils.data.IterableDataset):
    """Samples without an index."""

    def __iter__(self):
        return iter(ToyDataset())


@LOOPS.register_module(force=True)
class ToyLoaders(EpochBasedTrainLoop):
    """As mmaction's MultiLoaderEpochBasedTrainLoop."""

    multi_loaders = ['one', 'another']


@HOOKS.register_module(force=True)
class PGGANFetchDataHook(Hook):
    """As mmagic's."""


@DATASETS.register_module(force=True)
class SinGANDataset(ToyDataset):
    """As mmagic's."""


TABLE = {
    'hook, unknown argument': (hook(ratio=1), "unexpected keyword.*'ratio'"),
    'hook, twice': (
        dict(custom_hooks=[dict(type='BLSHook'), dict(type='BLSHook')]),
        'should have one BLSHook, but got several',
    ),
    'hook, missing': (dict(custom_hooks=[]), 'no BLSHook controls it'),
    'hook alone': (
        {SAMPLER: dict(type='DefaultSampler')},
        '`train_dataloader.sampler` is a DefaultSampler, but BLSHook needs',
    ),
    'hook alone, no sampler': (
        {SAMPLER: None},
        '`train_dataloader.sampler` is a SequentialSampler',
    ),
    'alpha, string': (
        hook(score=dict(type='EMAScore', alpha='0.9')),
        "`BLSHook.score`: `alpha` should be a number, but got '0.9'",
    ),
    'prune_ratio, 1': (
        pruner('InfoBatch', prune_ratio=1),
        rf'`{PRUNER}`: `prune_ratio` should be in \[0, 1\), but got 1\.',
    ),
    'target_saving, out of reach': (
        pruner('RandomPrune', target_saving=0.9),
        f'`{PRUNER}.target_saving` should be at most',
    ),
    'sampler, inherited argument': (
        sampler(num_repeats=3),
        'does not accept `num_repeats`.*inner=',
    ),
    'inner, unknown': (
        sampler(inner=dict(type='Nothing')),
        f"`{INNER}` .* unknown type 'Nothing'",
    ),
    'dataset, empty': (
        loader(dataset=dict(type='ToyDataset', size=0)),
        '`train_dataloader.dataset` is empty',
    ),
    'dataset, iterable': (
        loader(dataset=dict(type='ToyStream')),
        '`train_dataloader.dataset` should have .* but got ToyStream',
    ),
    'dataset, one image': (
        loader(dataset=dict(type='SinGANDataset')),
        'SinGANDataset, which has one image for all',
    ),
    'loop, several loaders': (
        dict(train_cfg=dict(type='ToyLoaders', max_epochs=8)),
        'ToyLoaders trains on batches of 2 DataLoaders in each iteration',
    ),
    'hook, replaces the sampler': (
        dict(custom_hooks=[BLS, dict(type='PGGANFetchDataHook')]),
        'PGGANFetchDataHook, which makes a new DataLoader for each size',
    ),
    'dataset, smaller than a batch': (
        loader(batch_size=50, drop_last=True),
        '`train_dataloader` yields no batch',
    ),
    'batches, none': (
        loader(batch_size=None),
        '`train_dataloader.dataset` .* has no batch sampler',
    ),
    'batches, in no order': (
        loader(in_order=False),
        '`train_dataloader.in_order` should be True',
    ),
}
if 'in_order' not in signature(DataLoader).parameters:  # torch below 2.6
    del TABLE['batches, in no order']


@pytest.mark.parametrize('case', TABLE)
def test_wrong_setting_is_refused_before_training(tmp_path, case):
    changes, message = TABLE[case]
    recorder = Recorder()
    with pytest.raises(ERRORS, match=message):
        runner = make_runner(tmp_path, **changes)
        runner.register_hook(recorder)
        runner.train()
    assert not recorder.numbers


def test_sampler_of_validation_visits_everything(tmp_path):
    """There a pruner has no say, and needs no hook."""
    loader = dict(VALIDATED['val_dataloader'], sampler=dict(type='BLSSampler'))
    runner = train(tmp_path, **dict(VALIDATED, val_dataloader=loader))
    assert sorted(runner.val_dataloader.sampler) == list(range(4))


# What only the first iteration can tell


@MODELS.register_module(force=True)
class AnyLoss(BaseModel):
    """A model with a loss dict of choice."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)
        self.kind = kind

    def forward(self, inputs, label, number, mode='tensor'):
        logits = self.linear(inputs)
        losses = torch.nn.functional.cross_entropy(
            logits, label, reduction='none'
        )
        if self.kind == 'none':
            return dict(accuracy=losses.mean())
        if self.kind == 'one of shape (1,)':
            return dict(loss=losses.mean()[None])
        if self.kind == 'several':
            # As under autocast: one in half precision.
            first, second = losses.mean(), losses.mean().bfloat16()
            return dict(loss_a=first, loss_b=[second, second])
        return dict(loss=losses)

    def train_step(self, data, optim_wrapper):
        if self.kind != 'float':
            return super().train_step(data, optim_wrapper)
        loss = self(**data, mode='loss')['loss'].mean()
        optim_wrapper.update_params(loss)
        return dict(loss=loss, loss_float=loss.item())

    def parse_losses(self, losses):
        if self.kind == 'per sample, to backward':
            return losses['loss'], losses
        return super().parse_losses(losses)


@pytest.mark.parametrize(
    'kind, loss_key, message',
    [
        (
            'none',
            'loss',
            'The loss that goes to backward .* tensor, but got 0',
        ),
        (
            'per sample, to backward',
            'loss',
            r'The loss that goes to backward .* single value.* shape \(4,\)',
        ),
        (
            'float',
            'loss_float',
            r"loss_key`: the loss 'loss_float' should be a tensor, but got \d",
        ),
        (
            'float',
            ['loss', 'loss_rpn'],
            r"names \['loss_rpn'\].*\['loss', 'loss_float'\]",
        ),
    ],
)
def test_loss_that_cannot_be_scored_is_refused_at_once(
    tmp_path, kind, loss_key, message
):
    runner = make_runner(
        tmp_path,
        model=dict(type='AnyLoss', kind=kind),
        **hook(loss_key=loss_key),
    )
    with pytest.raises(ERRORS, match=message):
        runner.train()
    assert runner.iter == 0
    assert not hook_of(runner).scores.any()


@pytest.mark.parametrize(
    'kind, loss_key',
    [
        ('one of shape (1,)', 'loss'),
        ('several', 'loss'),
        ('several', ['loss_a', 'loss_b']),
    ],
)
def test_loss_of_an_unusual_form_is_scored(tmp_path, kind, loss_key):
    runner = train(
        tmp_path,
        model=dict(type='AnyLoss', kind=kind),
        **hook(loss_key=loss_key),
    )
    assert (hook_of(runner).scores > 0).all()
