"""Settings of the hook, and models of several kinds.

More wrong settings are in test_bad_input.py.
"""

import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import MODELS, OPTIM_WRAPPER_CONSTRUCTORS
from toy import Recorder, hook_of, make_runner, train

from bls_mm import BLSHook


def hooks(**settings):
    return dict(custom_hooks=[dict(type='BLSHook', **settings)])


@pytest.mark.parametrize(
    'settings, error, message',
    [
        (dict(loss_key=None), TypeError, '.loss_key` should be .* got None'),
        (dict(loss_key=[]), TypeError, r'.loss_key` should be .* got \[\]'),
        (dict(loss_key=''), TypeError, '.loss_key` should be'),
        (dict(loss_key=['a', 1]), TypeError, '.loss_key` should be'),
        (dict(rescale_loss='no'), TypeError, ".rescale_loss` .* got 'no'"),
        (dict(per_sample=None), TypeError, '.per_sample` .* got None'),
        (dict(align_schedule=2), TypeError, '.align_schedule` .* got 2'),
        (dict(score=None), TypeError, '.score` should be a dict .* got None'),
        (dict(score=dict(type='EMA')), ValueError, '.score` .* unknown type'),
    ],
)
def test_hook_refuses_a_setting_and_names_it(settings, error, message):
    with pytest.raises(error, match=f'`BLSHook{message}'):
        BLSHook(**settings)


@pytest.mark.parametrize('name', ['planner', 'visited', 'visited_unpruned'])
def test_hook_has_no_plan_before_training(tmp_path, name):
    hook = hook_of(make_runner(tmp_path))
    assert hook.scores.shape == (0,)
    with pytest.raises(RuntimeError, match='only once training has started'):
        getattr(hook, name)


def test_wrong_loss_key_lists_the_keys(tmp_path):
    with pytest.raises(
        ValueError, match=r"names \['loss_bbox'\].*\['loss', 'loss_cls'\]"
    ):
        train(
            tmp_path,
            **hooks(loss_key='loss_bbox'),
            model=dict(type='ToyModel', keys=['loss_cls']),
        )


# A score that is the last loss itself.
LAST_LOSS = dict(type='EMAScore', alpha=0.0)


@pytest.mark.parametrize(
    'loss_key, expected',
    [
        ('loss', 6),  # the total, which the model's own key hides in the log
        ('loss_a', 2),
        (['loss_a', 'loss_b'], 5),
        (['loss'], 6),
    ],
)
def test_loss_key_chooses_what_is_scored(tmp_path, loss_key, expected):
    runner = make_runner(
        tmp_path,
        **hooks(loss_key=loss_key, score=LAST_LOSS),
        model=dict(type='ToyModel', keys=['loss', 'loss_a', 'loss_b']),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper__optimizer__lr=0.0,
    )
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    for numbers, loss in zip(recorder.numbers, recorder.losses):
        scores = hook_of(runner).scores[numbers]
        torch.testing.assert_close(
            scores, torch.full((4,), float(expected * loss))
        )


@MODELS.register_module(force=True)
class OwnStep(BaseModel):
    """A model that does not go through ``update_params``."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, inputs, label, number, mode='tensor'):
        return self.linear(inputs)

    def train_step(self, data, optim_wrapper):
        logits = self.linear(data['inputs'])
        loss = torch.nn.functional.cross_entropy(logits, data['label'])
        optim_wrapper.backward(loss)
        optim_wrapper.step()
        optim_wrapper.zero_grad()
        return dict(loss=loss)


def test_model_that_cannot_be_rescaled_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match='Set `rescale_loss=False`'):
        train(tmp_path, model=dict(type='OwnStep'))


def test_model_that_cannot_be_rescaled_trains_without(tmp_path):
    runner = train(
        tmp_path, **hooks(rescale_loss=False), model=dict(type='OwnStep')
    )
    assert (hook_of(runner).scores > 0).all()


def test_run_too_short_to_prune_says_so(tmp_path, caplog):
    runner = make_runner(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=2))
    messages = []
    runner.logger.warning = messages.append
    runner.train()
    assert any('BLS prunes nothing' in message for message in messages)


@MODELS.register_module(force=True)
class TwoOptimizers(BaseModel):
    """Two parts with an optimizer each, as in adversarial training."""

    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(2, 2)
        self.second = torch.nn.Linear(2, 2)
        self.true = {'first': [], 'second': []}

    def forward(self, inputs, label, number, mode='tensor'):
        return self.first(inputs)

    def train_step(self, data, optim_wrapper):
        losses = {}
        for name in ('first', 'second'):
            logits = getattr(self, name)(data['inputs'])
            loss = torch.nn.functional.cross_entropy(logits, data['label'])
            self.true[name].append(loss.item())
            optim_wrapper[name].update_params(loss)
            losses[f'loss_{name}'] = loss.detach()
        return dict(losses, loss=sum(losses.values()))


TWO = dict(
    model=dict(type='TwoOptimizers'),
    optim_wrapper=dict(
        constructor='TwoWrappers', optimizer=dict(type='SGD', lr=0.1)
    ),
)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
class TwoWrappers:
    """Build an optimizer wrapper for each part."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        self.settings = dict(optim_wrapper_cfg['optimizer'])

    def __call__(self, model):
        wrappers = {}
        for name in ('first', 'second'):
            parameters = getattr(model, name).parameters()
            wrappers[name] = OptimWrapper(
                torch.optim.SGD(parameters, lr=self.settings['lr'])
            )
        return OptimWrapperDict(**wrappers)


def test_each_of_several_optimizers_is_rescaled(tmp_path):
    runner = make_runner(tmp_path, **TWO)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    scaled = {'first': [], 'second': []}
    for name, wrapper in runner.optim_wrapper.items():
        wrapper.backward = noting(wrapper.backward, scaled[name])
    runner.train()
    factors = {}
    for name, true in runner.model.true.items():
        assert len(true) == len(scaled[name]) == runner.iter
        pairs = zip(scaled[name], true)
        factors[name] = [round(ours / loss, 3) for ours, loss in pairs]
    assert factors['first'] == factors['second']
    assert max(factors['first']) > 1.2
    assert (hook_of(runner).scores > 0).all()


def noting(backward, noted):
    def noted_backward(loss, **kwargs):
        noted.append(loss.item())
        backward(loss, **kwargs)

    return noted_backward


def test_score_of_several_optimizers_is_that_of_their_sum(tmp_path):
    runner = make_runner(
        tmp_path,
        **TWO,
        **hooks(score=LAST_LOSS),
        train_cfg=dict(by_epoch=True, max_epochs=1),
    )
    recorder = Recorder()
    runner.register_hook(recorder)
    runner.train()
    for numbers, loss in zip(recorder.numbers, recorder.losses):
        scores = hook_of(runner).scores[numbers]
        torch.testing.assert_close(scores, torch.full((4,), loss))
