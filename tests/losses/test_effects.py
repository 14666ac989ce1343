"""Listening to a loss leaves the training as it is, whatever the loss does."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS
from odd_losses import ClassCounter, Plain
from torch import nn
from toy import hook_of, make_runner, train

from bls_mm.losses.copies import copy_state
from bls_mm.losses.effects import Snapshot
from bls_mm.losses.module_calls import SampleLosses
from bls_mm.losses.random_state import RandomState


def parameters(work_dir, loss, **changes):
    ClassCounter.calls = 0
    runner = train(
        work_dir,
        model=dict(type='ToyHead', loss=loss, again=0.1),
        randomness=dict(seed=3),
        **changes,
    )
    return runner, runner.model.state_dict()


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        ('Plain', None),
        ('TorchNoise', 'draws random numbers'),
        ('NumpyNoise', 'draws random numbers'),
        ('PythonNoise', 'draws random numbers'),
        ('LateNoise', 'draws random numbers'),
        ('OwnGenerator', 'holds a Random'),
        ('PlainTensor', 'changes its own attributes'),
        ('NewTensor', 'changes its own attributes'),
        ('Counter', 'changes its own attributes'),
        ('ClassCounter', 'changes its own attributes'),
        ('LateCounter', 'changes its own attributes'),
        ('InPlace', 'has arguments that are changed in place'),
    ],
)
def test_run_without_a_pruner_is_as_without_bls_mm(
    loss, message, tmp_path, logged
):
    sampler = dict(type='DefaultSampler', shuffle=True)
    _, without = parameters(
        tmp_path / 'without',
        loss,
        train_dataloader__sampler=sampler,
        custom_hooks=[],
    )
    assert not logged
    calls = ClassCounter.calls
    runner, state = parameters(
        tmp_path / 'with', loss, train_dataloader__sampler__pruner=None
    )
    for name, value in without.items():
        assert torch.equal(value, state[name])
    assert len(logged) == (message is not None)
    assert all(message in line and f'loss {loss} ' in line for line in logged)
    assert type(runner.model.loss) is MODELS.get(loss)
    assert ClassCounter.calls == calls


def test_random_state_is_seen_to_change_and_put_back():
    draws = dict(
        torch=lambda: torch.rand(1).item(),
        numpy=np.random.rand,
        python=random.random,
    )
    for draw in draws.values():
        state = RandomState(torch.device('cpu'))
        assert not state.is_changed()
        drawn = draw()
        assert state.is_changed()
        state.restore()
        assert not state.is_changed()
        assert draw() == drawn


def test_call_of_a_copy_changes_nothing_of_the_module():
    class Keeper(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.ReLU()
            self.tensor = torch.zeros(2)
            self.array = np.zeros(2)
            self.lists = [[1], {2}, dict(a=[3]), (torch.zeros(1),)]
            self.lists.append(self.lists)
            self.method = self.change

        def change(self):
            self.tensor += 1
            self.array += 1
            self.lists[0].append(1)
            self.lists[2]['a'][0] = 4
            self.lists[3][0].add_(1)
            self.inner.count = 1

    module = Keeper()
    called = []
    module.inner.register_forward_hook(lambda *args: called.append(args))
    before = Snapshot(module)
    twin = copy_state(module)
    of_twin = Snapshot(twin)
    twin.method()
    twin.inner(torch.zeros(1))
    assert not before.is_changed()
    assert of_twin.is_changed()
    assert not called
    module.method()
    assert before.is_changed()


@HOOKS.register_module(force=True)
class Copy(Hook):
    """Save and copy the whole model in mid-run."""

    def __init__(self):
        self.files = []
        self.copies = []

    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter in (0, 12):
            path = f'{runner.work_dir}/whole{runner.iter}.pth'
            torch.save(runner.model, path)
            self.files.append(path)
            self.copies.append(copy.deepcopy(runner.model))
            pickle.dumps(runner.model.loss)


def test_copies_and_files_of_the_model_are_not_listened_to(tmp_path):
    runner = train(
        tmp_path,
        model=dict(type='ToyHead'),
        custom_hooks=[dict(type='BLSHook'), dict(type='Copy')],
    )
    hook = hook_of(runner, 'Copy')
    models = [torch.load(path, weights_only=False) for path in hook.files]
    assert len(models + hook.copies) == 4
    for model in models + hook.copies:
        assert type(model.loss) is Plain
        assert 'forward' not in vars(model.loss)
        calls = []
        model.loss.reduced = lambda losses, calls=calls: calls.append(1)
        runner.model.loss(torch.zeros(2, 2), torch.tensor([0, 1]))
        assert not calls  # a copy is another module
    for path in hook.files:
        with open(path, 'rb') as file:
            assert b'bls_mm' not in file.read()


@HOOKS.register_module(force=True)
class NewLoss(Hook):
    """Replace the loss, as mmpretrain's SwitchRecipeHook does."""

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == 15:
            runner.model.loss = nn.CrossEntropyLoss(label_smoothing=0.1)


@HOOKS.register_module(force=True)
class Heard(Hook):
    """Whether the losses of samples were heard, by iteration."""

    def __init__(self):
        self.heard = []

    def before_train(self, runner):
        buffer = hook_of(runner)._run.buffer
        add = buffer._updates.add
        buffer._updates.add = lambda batch, loss, calls=None: (
            self.heard.append(calls is not None or len(batch.ids) == 1),
            add(batch, loss, calls),
        )


def test_loss_that_replaces_another_is_heard_at_once(tmp_path):
    hooks = [dict(type=name) for name in ('BLSHook', 'NewLoss', 'Heard')]
    hooks[1]['priority'] = 'VERY_HIGH'
    hooks[2]['priority'] = 'VERY_LOW'
    runner = train(tmp_path, model=dict(type='ToyHead'), custom_hooks=hooks)
    heard = hook_of(runner, 'Heard').heard
    assert len(heard) > 40 and all(heard)
    assert type(runner.model.loss) is nn.CrossEntropyLoss


def test_module_that_comes_and_goes_is_followed():
    model = nn.ModuleDict(dict(head=nn.ModuleDict(dict(loss=Plain()))))
    first, head = model['head']['loss'], model['head']
    heard = SampleLosses(model)
    scores, labels = torch.rand(4, 2), torch.tensor([0, 1, 0, 1])

    def is_heard(loss):
        heard.begin(4)
        loss(scores, labels)
        return heard.take() is not None

    assert is_heard(first)
    head['loss'] = Plain()
    assert is_heard(head['loss']) and type(first) is Plain
    model['head'] = nn.ModuleDict(dict(loss=Plain()))
    assert is_heard(model['head']['loss']) and type(head['loss']) is Plain
    model['other'] = Plain()
    heard.refresh()
    assert is_heard(model['other'])
    del model['head']
    assert is_heard(model['other'])
    heard.close()
    assert type(model['other']) is Plain


def test_run_that_died_leaves_nothing_in_the_way_of_the_next(tmp_path):
    model = MODELS.build(dict(type='ToyHead'))

    class Stop(Hook):
        def before_train_iter(self, runner, *args, **kwargs):
            if runner.iter == 5:
                raise KeyboardInterrupt

    runner = make_runner(tmp_path, model=model)
    runner.register_hook(Stop())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    hooks = [dict(type='BLSHook'), dict(type='Heard', priority='VERY_LOW')]
    runner = train(tmp_path, model=model, custom_hooks=hooks)
    assert all(hook_of(runner, 'Heard').heard)
    assert type(model.loss) is Plain


def test_forward_that_others_replace_is_left_to_them():
    model = nn.ModuleDict(dict(loss=Plain(), other=Plain()))
    scores, labels = torch.rand(4, 2), torch.tensor([0, 1, 0, 1])

    def replaced(*args):
        return 2 * Plain.forward(model['other'], *args)

    model['other'].forward = replaced
    heard = SampleLosses(model)
    assert type(model['other']) is Plain
    model['loss'].forward = replaced  # in mid-run
    heard.begin(4)
    assert model['loss'](scores, labels) == 2 * Plain()(scores, labels)
    assert heard.take() is None
    heard.close()
    assert model['loss'].forward is replaced
    assert type(model['loss']) is Plain


def test_class_that_keeps_a_list_of_its_subclasses_gets_none():
    subclasses = []

    class Register(Plain):
        def __init_subclass__(cls):
            subclasses.append(cls)

    module = Register()
    SampleLosses(nn.Sequential(module))
    assert type(module) is Register and not subclasses
