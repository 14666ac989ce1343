"""Settings that count iterations from the start of a run."""

import copy
import types

import pytest
from mmengine.hooks import CheckpointHook, EMAHook, Hook, ProfilerHook
from toy import (
    VALIDATED,
    StopAt,
    Validated,
    hook_of,
    make_runner,
    train,
)

from bls_mm import BLSHook
from bls_mm.runner.thresholds import Threshold, Thresholds

BY_ITER = dict(by_epoch=False, max_iters=80, val_interval=10)


class UnfreezeHook(Hook):
    """A hook of somebody's own that counts iterations."""

    def __init__(self, start_iter=72):
        self.start_iter = start_iter
        self.milestones = [0, 30, 60]
        self.switch_iters = {'neck': 20, 'backbone': 40}
        self.interval = 50
        self.threshold = 60
        self.stages = [(30, 'low'), (70, 'high')]
        self.queue_length = 64
        self.late = 1000
        self.seen = list(range(10, 100))  # not a setting
        self.early = 5
        self.unread = 60
        self.fired = []

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        if runner.iter + 1 == self.start_iter:
            self.fired.append(hook_of(runner).planner.current.step)
        numbers = (self.milestones, self.threshold, self.stages)
        others = (self.interval, self.queue_length, self.late, self.early)
        others += (self.seen,)
        assert numbers and others


def train_with(work_dir, *hooks, **changes):
    changes = {**VALIDATED, 'train_cfg': BY_ITER, **changes}
    validated = Validated()
    custom = [dict(type='BLSHook'), dict(type='Recorder'), validated, *hooks]
    runner = train(work_dir, custom_hooks=custom, **changes)
    return runner, validated.at


@pytest.mark.parametrize('begin', [1, 70, 72, 79, 80])
def test_pruned_run_is_validated_from_the_same_progress_on(tmp_path, begin):
    loop = dict(BY_ITER, val_begin=begin)
    runner, validated = train_with(tmp_path, train_cfg=loop)
    assert runner.iter < 70
    assert validated[-1] == runner.iter
    multiples = set(range(10, runner.iter + 1, 10))
    # The last tenth is not pruned: the distance to the end is the same.
    first = 0 if begin == 1 else runner.iter - (80 - begin)
    assert validated == sorted(
        {n for n in multiples if n >= first} | {runner.iter}
    )
    assert runner.train_loop.val_begin == begin  # put back


def test_run_that_is_never_validated_stays_so(tmp_path):
    loop = dict(BY_ITER, val_begin=81)
    _, validated = train_with(tmp_path, train_cfg=loop)
    assert not validated


def test_intervals_change_at_the_same_progress(tmp_path):
    loop = dict(BY_ITER, val_interval=100, dynamic_intervals=[(71, 2)])
    runner, validated = train_with(tmp_path, train_cfg=loop)
    assert 5 <= len(validated) <= 6
    assert validated[-1] == runner.iter
    assert validated[0] >= runner.iter - 10
    assert runner.train_loop.dynamic_milestones == [0, 71]


@pytest.mark.parametrize('by_epoch', [True, False])
def test_average_begins_at_the_same_progress(tmp_path, by_epoch):
    loop = dict(by_epoch=True, max_epochs=8) if by_epoch else BY_ITER
    runner, _ = train_with(
        tmp_path, dict(type='EMAHook', begin_iter=72), train_cfg=loop
    )
    hook = hook_of(runner, 'EMAHook')
    assert runner.iter < 72
    assert int(hook.ema_model.steps) == 9  # as in iterations 72 to 80
    assert hook.begin_iter == 72


@pytest.mark.parametrize('first', [True, False])
def test_average_of_a_resumed_run_begins_there_as_well(tmp_path, first):
    """`EMAHook` refuses to begin after the end of the run."""
    hooks = [dict(type='EMAHook', begin_iter=72), dict(type='BLSHook')]
    changes = dict(
        train_cfg=BY_ITER,
        custom_hooks=hooks[:: -1 if first else 1],
        default_hooks__checkpoint=dict(
            type='CheckpointHook', by_epoch=False, interval=10
        ),
    )
    broken = make_runner(tmp_path, **copy.deepcopy(changes))
    broken.register_hook(StopAt(35))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    assert hook_of(broken, 'EMAHook').begin_iter == 72
    resumed = train(tmp_path, resume=True, **copy.deepcopy(changes))
    assert int(hook_of(resumed, 'EMAHook').ema_model.steps) == 9


def test_next_run_gives_back_what_a_failed_validation_left(tmp_path):
    class Fail(Hook):
        def before_val(self, runner):
            if runner.iter >= 40:
                raise KeyboardInterrupt

    changes = dict(VALIDATED, train_cfg=BY_ITER)
    average = EMAHook(begin_iter=72)
    pruning = BLSHook()
    runner = make_runner(
        tmp_path / 'a', custom_hooks=[pruning, average, Fail()], **changes
    )
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert average.begin_iter < 72
    runner = make_runner(
        tmp_path / 'b', custom_hooks=[pruning, average], **changes
    )
    runner.train()
    assert average.begin_iter == 72
    assert int(average.ema_model.steps) == 9


@pytest.mark.parametrize('by_epoch', [True, False])
@pytest.mark.parametrize('begin', [72, 81])
def test_checkpoints_begin_at_the_same_progress(tmp_path, by_epoch, begin):
    """81 of 80 iterations is the way to save nothing but the last."""
    loop = dict(by_epoch=True, max_epochs=8) if by_epoch else BY_ITER
    saved = dict(
        type='CheckpointHook', by_epoch=False, interval=4, save_begin=begin
    )
    runner, _ = train_with(
        tmp_path, train_cfg=loop, default_hooks__checkpoint=saved
    )
    end = runner.iter
    numbers = {end} if begin > 80 else {end - 8, end - 4, end}
    assert {path.name for path in tmp_path.glob('*.pth')} == {
        f'iter_{number}.pth' for number in numbers
    }


def test_hook_of_ones_own_is_translated_by_the_name_of_a_setting(tmp_path):
    hook = UnfreezeHook()
    train_with(tmp_path, hook)
    assert hook.fired == [72]
    assert hook.start_iter == 72
    assert hook.milestones == [0, 30, 60]


def log_of(work_dir):
    return ''.join(path.read_text() for path in work_dir.rglob('*.log'))


def test_what_is_not_translated_is_named_before_training(tmp_path):
    train_with(tmp_path, UnfreezeHook())
    lines = log_of(tmp_path).splitlines()
    (line,) = [line for line in lines if 'seem to count' in line]
    named = line.partition('stay as they are: ')[2]
    assert named == (
        'UnfreezeHook.threshold=60, '
        "UnfreezeHook.stages=[(30, 'low'), (70, 'high')]."
    )


def test_nothing_is_touched_without_a_pruner(tmp_path):
    hook = UnfreezeHook()
    loop = dict(BY_ITER, val_begin=75)
    runner, validated = train_with(
        tmp_path,
        hook,
        train_cfg=loop,
        train_dataloader__sampler__pruner=None,
    )
    assert (runner.iter, validated, hook.fired) == (80, [80], [72])
    assert 'seem to count' not in log_of(tmp_path)


def thresholds_of(*hooks, work_dir):
    loop = make_runner(work_dir, train_cfg=BY_ITER).train_loop
    return Thresholds(types.SimpleNamespace(train_loop=loop, hooks=hooks))


def names_of(thresholds):
    return [each.name for each in thresholds]


def test_thresholds_are_found_by_class_and_by_name(tmp_path):
    class MyEMAHook(EMAHook):
        def __init__(self):
            super().__init__(begin_iter=10)

    found = thresholds_of(
        MyEMAHook(),
        CheckpointHook(by_epoch=False, save_begin=5),
        CheckpointHook(by_epoch=True, save_begin=5),
        ProfilerHook(by_epoch=False, profile_times=50),
        UnfreezeHook(),
        work_dir=tmp_path,
    )
    assert names_of(found.found) == [
        'val_begin',
        'dynamic_milestones',
        'begin_iter',
        'save_begin',
        'start_iter',
        'milestones',
        'switch_iters',
    ]
    # `late` and `early` are told by their numbers, see `between`.
    assert names_of(found.unknown) == ['threshold', 'stages', 'late', 'early']


def test_translated_settings_are_new_objects_and_put_back(tmp_path):
    hook = UnfreezeHook()
    iters = hook.switch_iters
    thresholds = thresholds_of(hook, work_dir=tmp_path)
    thresholds.translate(lambda step: step // 2, passed=0)
    assert hook.milestones == [0, 15, 30]
    assert hook.switch_iters == {'neck': 10, 'backbone': 20}
    assert iters == {'neck': 20, 'backbone': 40}
    thresholds.translate(lambda step: step // 3, passed=30)
    assert hook.milestones == [0, 15, 20]  # 30 is past: never twice
    assert hook.switch_iters == {'neck': 10, 'backbone': 13}
    thresholds.close()
    assert hook.milestones == [0, 30, 60]
    assert hook.switch_iters is iters


def test_setting_that_somebody_changes_is_left_to_them(tmp_path):
    hook = UnfreezeHook()
    thresholds = thresholds_of(hook, work_dir=tmp_path)
    thresholds.translate(lambda step: step // 2, passed=0)
    hook.start_iter = 50
    thresholds.translate(lambda step: step // 3, passed=0)
    thresholds.close()
    assert hook.start_iter == 50


def test_threshold_says_what_it_is():
    assert str(Threshold(UnfreezeHook(), 'start_iter', 72)) == (
        'UnfreezeHook.start_iter=72'
    )
