"""Schedules that count the iterations of a run on their own."""

import pytest
from mmengine.hooks import ParamSchedulerHook
from mmengine.logging import MessageHub
from mmengine.optim import LinearLR
from mmengine.registry import HOOKS, PARAM_SCHEDULERS
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


@PARAM_SCHEDULERS.register_module()
class ByHub(LinearLR):
    """Asks the message hub for the iteration, as one of mmagic does."""

    def _get_value(self):
        iteration = MessageHub.get_current_instance().get_info('iter', 0)
        return [1 - iteration / 80 for _ in self.optimizer.param_groups]


OF_HOOK = dict(default_hooks__param_scheduler=dict(type='Falling'))
OF_HUB = dict(param_scheduler=dict(type='ByHub', end=80, by_epoch=False))


@pytest.mark.parametrize(
    'changes', [OF_HOOK, OF_HUB, dict(OF_HUB, **ITERATIONS)]
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


def test_run_is_seen_as_it_is_by_all_others(tmp_path):
    runner = train(tmp_path, **OF_HOOK)
    assert runner.message_hub.get_info('iter') == runner.iter - 1 < 79
    names = ('before_train_iter', 'after_train_iter')
    for hook in runner.hooks:
        assert not {*names} & vars(hook).keys()
