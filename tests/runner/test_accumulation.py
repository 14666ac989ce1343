"""Gradient accumulation where `backward` is not called once an iteration."""

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from toy import ToyModel, hook_of, make_runner, train

BY_ITER = dict(by_epoch=False, max_iters=80)
PLAIN = dict(
    train_dataloader__sampler=dict(type='DefaultSampler', shuffle=True),
    custom_hooks=[dict(type='Recorder')],
)


@MODELS.register_module(force=True)
class ToyGan(ToyModel):
    """The critic goes backward for real and for made points, as in SRGAN."""

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Linear(2, 1)
        nn.init.constant_(self.critic.weight, 0.1)
        nn.init.constant_(self.critic.bias, 0.0)

    def train_step(self, data, optim_wrapper):
        made = self.linear(data['inputs'])
        loss = nn.functional.cross_entropy(made, data['label'])
        optim_wrapper['generator'].update_params(loss)
        critic = optim_wrapper['critic']
        for points, sign in ((data['inputs'], -1), (made.detach(), 1)):
            judged = nn.functional.softplus(sign * self.critic(points))
            critic.backward(critic.scale_loss(judged.mean()))
        if critic.should_update():
            critic.step()
            critic.zero_grad()
        return dict(loss=loss.detach())


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class ToyGanOptims:
    """One wrapper for each of the two, as such models have them."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None) -> None:
        self.counts = optim_wrapper_cfg['accumulative_counts']

    def __call__(self, model):
        return OptimWrapperDict(
            generator=self.wrap(model.linear), critic=self.wrap(model.critic)
        )

    def wrap(self, module):
        sgd = torch.optim.SGD(module.parameters(), lr=0.05)
        return OptimWrapper(sgd, accumulative_counts=self.counts)


@MODELS.register_module(force=True)
class TwoBackwards(ToyModel):
    """Two losses, each with an update of its own."""

    def train_step(self, data, optim_wrapper):
        losses = []
        for half in (slice(0, 2), slice(2, 4)):
            part = {key: value[half] for key, value in data.items()}
            losses.append(self(**part, mode='loss')['loss'])
            optim_wrapper.update_params(losses[-1])
        return dict(loss=sum(losses).detach())


class SetsEnd(Hook):
    """Tell the wrappers of a dict how many calls will come."""

    def before_train(self, runner) -> None:
        for wrapper in runner.optim_wrapper.values():
            wrapper.initialize_count_status(runner.model, 0, 160)


def gan(counts, **changes):
    settings = dict(constructor='ToyGanOptims', accumulative_counts=counts)
    return dict(model=dict(type='ToyGan'), optim_wrapper=settings, **changes)


def two_backwards(counts, **changes):
    return dict(
        model=dict(type='TwoBackwards'),
        optim_wrapper__accumulative_counts=counts,
        **changes,
    )


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.model.parameters()])


def ends(wrapper):
    return wrapper._max_counts, wrapper._remainder_counts


@pytest.mark.parametrize('counts', [1, 4, 8])
@pytest.mark.parametrize('loop', [{}, dict(train_cfg=BY_ITER)])
def test_gan_without_pruner_trains_as_without_bls_mm(tmp_path, counts, loop):
    if loop:
        default = dict(type='InfiniteSampler', shuffle=True)
        plain = dict(PLAIN, train_dataloader__sampler=default)
    else:
        plain = PLAIN
    expected = train(tmp_path / 'plain', **gan(counts, **loop, **plain))
    runner = train(
        tmp_path / 'ours',
        **gan(counts, train_dataloader__sampler__pruner=None, **loop),
    )
    assert runner.iter == expected.iter == 80
    if not loop:  # BLSSampler's order is that of DefaultSampler
        assert torch.equal(weights(runner), weights(expected))


@pytest.mark.parametrize('counts', [1, 4, 8])
@pytest.mark.parametrize('loop', [{}, dict(train_cfg=BY_ITER)])
def test_gan_trains_to_the_end_with_a_pruner(tmp_path, counts, loop):
    runner = train(tmp_path, **gan(counts, **loop))
    assert runner.iter == runner.max_iters < 80
    assert hook_of(runner).planner.current.step == 80
    for wrapper in runner.optim_wrapper.values():
        assert ends(wrapper) == (-1, -1)  # as MMEngine left them


@pytest.mark.parametrize('counts', [4, 8])
def test_gan_keeps_the_end_that_somebody_has_set(tmp_path, counts):
    runner = make_runner(tmp_path, **gan(counts))
    runner.register_hook(SetsEnd())
    runner.train()
    assert runner.iter < 80
    for wrapper in runner.optim_wrapper.values():
        assert ends(wrapper) == (160, 0)


@pytest.mark.parametrize('counts', [4, 8])
@pytest.mark.parametrize('loop', [{}, dict(train_cfg=BY_ITER)])
def test_two_backwards_an_iteration_train_to_the_end(tmp_path, counts, loop):
    """The wrapper is beyond the iterations of the run in half of them."""
    runner = train(tmp_path, **two_backwards(counts, **loop))
    wrapper = runner.optim_wrapper
    assert wrapper.inner_count == 2 * runner.iter > runner.max_iters
    assert ends(wrapper) == (-1, -1)


def test_two_backwards_without_pruner_train_as_without_bls_mm(tmp_path):
    """80 iterations leave a remainder of 2, which MMEngine divides by."""
    expected = train(tmp_path / 'plain', **two_backwards(3, **PLAIN))
    runner = train(
        tmp_path / 'ours',
        **two_backwards(3, train_dataloader__sampler__pruner=None),
    )
    assert torch.equal(weights(runner), weights(expected))
    assert ends(runner.optim_wrapper) == ends(expected.optim_wrapper)


@pytest.mark.parametrize('counts', [3, 4])
def test_one_backward_an_iteration_ends_with_the_pruned_run(tmp_path, counts):
    runner = train(tmp_path, optim_wrapper__accumulative_counts=counts)
    wrapper = runner.optim_wrapper
    assert runner.iter < 80
    assert ends(wrapper) == (runner.iter, runner.iter % counts or counts)
    for parameter in runner.model.parameters():  # none is left unstepped
        assert parameter.grad is None
