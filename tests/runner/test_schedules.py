"""Schedules that count the iterations of a run on their own."""

import pytest
from mmengine.hooks import ParamSchedulerHook
from mmengine.logging import MessageHub
from mmengine.optim import LinearLR
from mmengine.registry import HOOKS, LOOPS, PARAM_SCHEDULERS
from mmengine.runner import EpochBasedTrainLoop
from toy import hook_of, train

ITERATIONS = dict(train_cfg=dict(by_epoch=False, max_iters=80))


@HOOKS.register_module()
class Falling(ParamSchedulerHook):
    """Sets the rate by the iteration, as the hooks of mmyolo do."""

    priority = 9

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        total = 8 * len(runner.train_dataloader)
        for group in runner.optim_wrapper.param_groups:
            group['lr'] = 1 - runner.iter / total

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        assert len(data_batch['inputs'])  # asks for what only a loop gives


@HOOKS.register_module()
class Poly(Falling):
    """Sets it by the iteration and the length of the run."""

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        assert runner.message_hub.get_info('max_iters') == runner.max_iters
        assert runner.train_dataloader.dataset is not None
        runner.set_by_a_hook = True
        for group in runner.optim_wrapper.param_groups:
            group['lr'] = 1 - runner.iter / runner.max_iters


@PARAM_SCHEDULERS.register_module()
class ByHub(LinearLR):
    """Asks the message hub for the iteration, as one of mmagic does."""

    def _get_value(self):
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        return [1 - iteration / 80 for _ in self.optimizer.param_groups]


OF_HOOK = dict(default_hooks__param_scheduler=dict(type='Falling'))
OF_HUB = dict(param_scheduler=dict(type='ByHub', end=80, by_epoch=False))


OF_LENGTH = dict(default_hooks__param_scheduler=dict(type='Poly'))


@pytest.mark.parametrize(
    'changes',
    [
        OF_HOOK,
        OF_LENGTH,
        dict(OF_LENGTH, **ITERATIONS),
        OF_HUB,
        dict(OF_HUB, **ITERATIONS),
    ],
)
def test_schedule_is_that_of_the_unpruned_run(tmp_path, changes):
    runners = [
        train(tmp_path, train_dataloader__sampler__pruner=pruner, **changes)
        for pruner in (dict(type='InfoBatch'), None)
    ]
    rates, full = (
        [rate['lr'][0] for rate in hook_of(runner, 'Recorder').rates]
        for runner in runners
    )
    assert len(rates) < len(full) == 80
    assert set(rates) <= set(full)
    assert [rates[0], rates[-1]] == [full[0], full[-1]]
    steps = [full.index(rate) for rate in rates]
    # Passes of 10 steps in 7 iterations or more.
    assert {b - a for a, b in zip(steps, steps[1:])} <= {0, 1, 2}
    last, last_of_full = (r.optim_wrapper.get_lr()['lr'] for r in runners)
    assert last == last_of_full


def test_hook_sets_attributes_of_the_runner_itself(tmp_path):
    assert train(tmp_path, **OF_LENGTH).set_by_a_hook


class LeavesEarly(EpochBasedTrainLoop):
    """Trains on six of the ten batches of an epoch."""

    def run_epoch(self):
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        for idx, batch in enumerate(self.dataloader):
            self.run_iter(idx, batch)
            if idx == 5:
                break
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def test_without_a_pruner_batches_that_do_not_come_are_no_steps(tmp_path):
    LOOPS.register_module(module=LeavesEarly, force=True)
    linear = dict(type='LinearLR', end_factor=0.0, by_epoch=False, end=80)
    changes = dict(
        train_cfg=dict(type='LeavesEarly', max_epochs=8),
        param_scheduler=linear,
    )
    rates = [
        hook_of(run, 'Recorder').rates
        for run in (
            train(tmp_path, train_dataloader__sampler__pruner=None, **changes),
            train(
                tmp_path,
                custom_hooks=[dict(type='Recorder')],
                train_dataloader__sampler=dict(type='DefaultSampler', seed=0),
                **changes,
            ),
        )
    ]
    assert len(rates[0]) == 48
    assert rates[0] == rates[1]


def test_run_is_seen_as_it_is_by_all_others(tmp_path):
    runner = train(tmp_path, **OF_HOOK)
    assert runner.message_hub.get_info('iter') == runner.iter - 1 < 79
    names = ('before_train_iter', 'after_train_iter')
    for hook in runner.hooks:
        assert not {*names} & vars(hook).keys()
