"""Rescaling beside mixed precision, accumulation, clipping and EMA.

A watcher computes the gradient of each logged loss by autograd, weighs it by
what the pruner selected, adds up by MMEngine's rule of accumulation, and
compares with what the optimizer steps with.
"""

from functools import partial

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, MODELS, OPTIM_WRAPPERS
from mmengine.runner.amp import autocast
from toy import ToyModel, hook_of, train

from bls_mm import PRUNERS, SCORES, EMAScore, InfoBatch

ITERATIONS = dict(train_cfg=dict(by_epoch=False, max_iters=75))
CLIP = dict(max_norm=0.12)


@PRUNERS.register_module(force=True)
class NotedInfoBatch(InfoBatch):
    """Remember what each sample weighed when it was last selected."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.weights = torch.ones(38)

    def select(self, scores, generator, epoch=0, share=None):
        return self.noted(super().select(scores, generator, epoch, share))

    def anneal(self, scores, generator):
        return self.noted(super().anneal(scores, generator))

    def noted(self, selection):
        self.weights[selection.indices.cpu()] = selection.weights.cpu()
        return selection


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Note gradients by hand, and those that the optimizer steps with."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.parameters = list(runner.model.parameters())
        self.by_hand, self.weights, self.losses = [], [], []
        self.steps, self.averages = [], []
        optimizer = runner.optim_wrapper.optimizer
        self.step = optimizer.step
        optimizer.step = self.note_step

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        pruner = runner.train_dataloader.sampler.pruner
        self.weights.append(float(pruner.weights[data_batch['number']].mean()))
        wrapper = runner.optim_wrapper
        data = runner.model.data_preprocessor(data_batch, True)
        with autocast(
            dtype=getattr(wrapper, 'cast_dtype', None),
            enabled=hasattr(wrapper, 'loss_scaler'),
        ):
            loss = runner.model(**data, mode='loss')['loss']
        self.losses.append(loss.item())
        self.by_hand.append(torch.autograd.grad(loss, self.parameters))

    def note_step(self, *args, **kwargs):
        grads = [p.grad.clone() for p in self.parameters]
        self.steps.append((len(self.by_hand), grads))
        return self.step(*args, **kwargs)

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.averages.append([p.detach().clone() for p in self.parameters])

    def expected(self, counts):
        """Gradients of all steps: (iterations so far, gradients)."""
        total = len(self.by_hand)
        rest = total % counts
        sums, steps = [torch.zeros_like(p) for p in self.parameters], []
        for i, grads in enumerate(self.by_hand):
            factor = counts if i < total - rest else rest
            for summed, grad in zip(sums, grads):
                summed += grad * self.weights[i] / factor
            if (i + 1) % counts == 0 or i + 1 == total:
                steps.append((i + 1, sums))
                sums = [torch.zeros_like(p) for p in self.parameters]
        return steps


@pytest.fixture
def amp_on_the_cpu(monkeypatch):
    """MMEngine asserts a GPU; torch's autocast and scaler need none."""
    if not hasattr(torch.amp, 'GradScaler'):
        pytest.skip('torch below 2.3 scales losses on a GPU only')
    module = 'mmengine.optim.optimizer.amp_optimizer_wrapper'
    monkeypatch.setattr(f'{module}.is_cuda_available', lambda: True)
    monkeypatch.setattr(
        f'{module}.GradScaler', partial(torch.amp.GradScaler, device='cpu')
    )


def run(tmp_path, hooks=(), delta=0.875, rescale_loss=True, **changes):
    """Train over 38 samples in batches of 4 and watch."""
    return train(
        tmp_path,
        train_dataloader__dataset=dict(type='ToyDataset', size=38),
        train_dataloader__sampler__pruner=dict(
            type='NotedInfoBatch', delta=delta
        ),
        custom_hooks=[
            dict(type='BLSHook', rescale_loss=rescale_loss),
            *hooks,
            dict(type='Watch'),
            dict(type='Recorder'),
        ],
        **changes,
    )


def amp(dtype, **settings):
    return dict(
        optim_wrapper__type='AmpOptimWrapper',
        optim_wrapper__dtype=dtype,
        optim_wrapper__loss_scale='dynamic',
        **settings,
    )


def assert_steps_are_weighted(runner, counts, clip=False, error=1e-5):
    """Compare every step with the sum by hand, relative to its length."""
    watch = hook_of(runner, 'Watch')
    expected = watch.expected(counts)
    assert [i for i, _ in watch.steps] == [i for i, _ in expected]
    assert max(watch.weights) > 1.2
    # What is logged is not weighted.
    assert hook_of(runner, 'Recorder').losses == pytest.approx(watch.losses)
    for (_, grads), (_, wanted) in zip(watch.steps, expected):
        ours, theirs = flat(grads), flat(wanted)
        if clip:
            theirs *= (CLIP['max_norm'] / (theirs.norm() + 1e-6)).clamp(max=1)
        assert (ours - theirs).norm() <= error * theirs.norm()


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors])


@pytest.mark.parametrize('clip', [None, CLIP])
@pytest.mark.parametrize('counts', [1, 3, 4])
@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize('mixed', [False, True])
def test_step_has_the_weighted_gradient(
    tmp_path, amp_on_the_cpu, mixed, loop, counts, clip
):
    runner = run(
        tmp_path,
        optim_wrapper__accumulative_counts=counts,
        optim_wrapper__clip_grad=clip,
        **(ITERATIONS if loop == 'iterations' else {}),
        **(amp('bfloat16') if mixed else {}),
    )
    # In bfloat16 a gradient has 8 bits.
    assert_steps_are_weighted(runner, counts, clip, 0.03 if mixed else 1e-5)


@OPTIM_WRAPPERS.register_module(force=True)
class OwnBackward(OptimWrapper):
    """One whose backward takes no arguments, as that of DeepSpeed."""

    def backward(self, loss):
        super().backward(loss)


def test_step_of_a_wrapper_with_its_own_backward_is_weighted(tmp_path):
    runner = run(tmp_path, optim_wrapper__type='OwnBackward')
    assert_steps_are_weighted(runner, 1)


def test_step_is_not_weighted_when_it_should_not_be(tmp_path):
    runner = run(tmp_path, rescale_loss=False)
    watch = hook_of(runner, 'Watch')
    assert max(watch.weights) > 1.2
    for (_, grads), wanted in zip(watch.steps, watch.by_hand):
        torch.testing.assert_close(flat(grads), flat(wanted))


@pytest.mark.parametrize('counts', [3, 5])
@pytest.mark.parametrize('max_iters', [21, 29, 39])
def test_last_accumulation_is_the_remainder_also_across_passes(
    tmp_path, max_iters, counts
):
    """Until the last pass is selected, its length can only be predicted."""
    runner = run(
        tmp_path,
        delta=1.0,  # the last pass is pruned too
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
        optim_wrapper__accumulative_counts=counts,
        randomness=dict(seed=2),
    )
    assert_steps_are_weighted(runner, counts)
    for parameter in runner.model.parameters():
        assert parameter.grad is None or not parameter.grad.any()


def test_averaged_model_follows_the_weighted_steps(tmp_path, amp_on_the_cpu):
    average = dict(type='EMAHook', momentum=0.1)
    runner = run(
        tmp_path,
        hooks=[average],
        optim_wrapper__accumulative_counts=3,
        **amp('bfloat16'),
    )
    assert_steps_are_weighted(runner, 3, error=0.03)
    first, *others = hook_of(runner, 'Watch').averages
    for parameters in others:
        first = [0.9 * a + 0.1 * p for a, p in zip(first, parameters)]
    ours = hook_of(runner, 'EMAHook').ema_model.module.parameters()
    torch.testing.assert_close(flat(ours), flat(first))


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
def test_scaled_learning_rate_is_that_of_the_batch_size(tmp_path, loop):
    runner = run(
        tmp_path,
        auto_scale_lr=dict(enable=True, base_batch_size=16),
        **(ITERATIONS if loop == 'iterations' else {}),
    )
    assert_steps_are_weighted(runner, 1)
    rates = [rate['lr'] for rate in hook_of(runner, 'Recorder').rates]
    assert rates == [[pytest.approx(0.1 * 4 / 16)]] * runner.iter


@MODELS.register_module(force=True)
class BadOnce(ToyModel):
    """A model whose loss is not finite in one iteration."""

    def __init__(self, bad: float) -> None:
        super().__init__()
        self.bad = bad

    def forward(self, inputs, label, number, mode='tensor'):
        self.calls += mode == 'loss'
        losses = super().forward(inputs, label, number, mode)
        if self.calls == 36 * 2:  # `super` counts as well
            losses['loss'] = losses['loss'] * self.bad
        return losses


@SCORES.register_module(force=True)
class NotedScore(EMAScore):
    """Note whether a loss is finite and whether it changes a score."""

    def __init__(self) -> None:
        super().__init__()
        self.noted = []

    def update(self, scores, indices, loss) -> None:
        before = scores.clone()
        super().update(scores, indices, loss)
        changed = not torch.equal(before, scores)
        self.noted.append((bool(loss.isfinite()), changed))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_step_that_the_scaler_skips_scores_nothing(
    tmp_path, amp_on_the_cpu, bad
):
    runner = train(
        tmp_path,
        model=dict(type='BadOnce', bad=bad),
        custom_hooks=[dict(type='BLSHook', score=dict(type='NotedScore'))],
        **amp('bfloat16'),
    )
    noted = hook_of(runner).score.noted
    assert noted.pop(35) == (False, False)
    assert set(noted) == {(True, True)}
    # The scaler has halved its scale once, and the model is sound.
    assert runner.optim_wrapper.loss_scaler.get_scale() == 2.0**15
    assert torch.isfinite(flat(runner.model.parameters())).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a GPU')
@pytest.mark.parametrize('clip', [None, CLIP])
@pytest.mark.parametrize('counts', [1, 3])
@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_step_has_the_weighted_gradient_on_a_gpu(
    tmp_path, dtype, counts, clip
):
    runner = run(
        tmp_path,
        optim_wrapper__accumulative_counts=counts,
        optim_wrapper__clip_grad=clip,
        # With a scale that no half-precision gradient overflows at: the
        # scaler would leave that step out.
        **dict(amp(dtype), optim_wrapper__loss_scale=dict(init_scale=256.0)),
    )
    assert hook_of(runner).scores.is_cuda
    assert_steps_are_weighted(runner, counts, clip, 0.03)
