"""A run that is broken off and resumed is the run that never stopped."""

from itertools import cycle, product

import pytest
import torch
from mmengine.runner import FlexibleRunner, Runner
from states import at, having, through
from toy import (
    EVERY_EPOCH,
    SavesAt,
    StopAt,
    hook_of,
    make_config,
    make_runner,
    train,
)

from bls_mm import PRUNERS as RULES
from bls_mm import SCORES, Pruner, Score, Selection

PRUNERS = ['InfoBatch', 'SeTa', 'RandomPrune', 'Importance']
SCHEDULE = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=15),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=15, T_max=65),
    dict(type='MultiStepLR', by_epoch=True, milestones=[3, 5]),
]


def saving_every(iterations=None):
    settings = dict(EVERY_EPOCH)
    if iterations:
        settings.update(by_epoch=False, interval=iterations)
    return dict(default_hooks=dict(checkpoint=settings))


CASES = {
    'epoch end': (saving_every(), 31),
    'mid-epoch': (saving_every(7), 33),
    'epoch end, by iteration': (saving_every(10), 12),
    'iterations': (
        dict(saving_every(7), train_cfg=dict(by_epoch=False, max_iters=80)),
        33,
    ),
    'iterations, uneven': (
        dict(
            saving_every(5),
            train_cfg=dict(by_epoch=False, max_iters=60),
            train_dataloader__batch_size=7,
            train_dataloader__num_workers=2,
            train_dataloader__persistent_workers=True,
        ),
        27,
    ),
    'workers': (
        dict(saving_every(7), train_dataloader__num_workers=2),
        33,
    ),
    'no seed': (dict(saving_every(7), randomness=dict(seed=None)), 33),
    'aspect ratio': (
        dict(
            saving_every(7),
            train_dataloader__batch_sampler=dict(
                type='mmdet.AspectRatioBatchSampler'
            ),
        ),
        33,
    ),
}


# Each case with one pruner, and two cases with all.
PAIRS = {
    *zip(CASES, cycle(PRUNERS)),
    *product(['mid-epoch', 'iterations, uneven'], PRUNERS),
}


def break_off_and_resume(work_dir, stop, **changes):
    """Break a run off, resume it, return what both parts did."""
    broken = make_runner(work_dir, **changes)
    broken.register_hook(StopAt(stop))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = train(work_dir, resume=True, **changes)
    return broken, resumed


def same_seed(changes, broken):
    """A run without a seed draws one; the reference needs the same."""
    if changes.get('randomness') == dict(seed=None):
        return dict(changes, randomness=dict(seed=broken.seed))
    return changes


# An epoch that ends after a resume steps the schedule before the optimizer.
@pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step')
@pytest.mark.parametrize('case, pruner', sorted(PAIRS))
def test_resumed_run_is_the_run_that_was_not_stopped(tmp_path, case, pruner):
    changes, stop = CASES[case]
    if case == 'aspect ratio':
        pytest.importorskip('mmdet')
    changes = dict(
        changes,
        param_scheduler=SCHEDULE,
        train_dataloader__sampler__pruner=dict(type=pruner),
    )
    broken, resumed = break_off_and_resume(
        tmp_path / 'broken', stop, **changes
    )
    reference = train(tmp_path / 'whole', **same_seed(changes, broken))
    expected = hook_of(reference, 'Recorder')
    recorder = hook_of(resumed, 'Recorder')
    start = recorder.iters[0]
    assert 0 < start < stop
    assert (
        hook_of(broken, 'Recorder').numbers[:stop] == (expected.numbers[:stop])
    )
    for name in ('iters', 'epochs', 'numbers', 'rates', 'losses'):
        assert getattr(recorder, name) == getattr(expected, name)[start:]
    assert_same_end(resumed, reference)


def assert_same_end(resumed, reference):
    assert torch.equal(hook_of(resumed).scores, hook_of(reference).scores)
    for name in ('visited', 'visited_unpruned'):
        assert getattr(hook_of(resumed), name) == (
            getattr(hook_of(reference), name)
        )
    ours = resumed.model.state_dict()
    for name, value in reference.model.state_dict().items():
        assert torch.equal(ours[name], value)
    for ours, theirs in zip(
        resumed.param_schedulers, reference.param_schedulers
    ):
        assert ours.state_dict() == theirs.state_dict()
    assert resumed.max_iters == reference.max_iters == resumed.iter


def flexible(work_dir, **changes):
    config = make_config(work_dir, **changes)
    name = f'flexible_{work_dir.name}_{changes.get("resume", False)}'
    return FlexibleRunner(**config, experiment_name=name, env_cfg=dict())


def test_flexible_runner_is_resumed_as_well(tmp_path):
    changes, stop = CASES['mid-epoch']
    broken = flexible(tmp_path / 'broken', **changes)
    broken.register_hook(StopAt(stop))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    resumed = flexible(tmp_path / 'broken', resume=True, **changes)
    resumed.train()
    reference = flexible(tmp_path / 'whole', **changes)
    reference.train()
    start = hook_of(resumed, 'Recorder').iters[0]
    assert 0 < start < stop
    assert (
        hook_of(resumed, 'Recorder').numbers
        == (hook_of(reference, 'Recorder').numbers[start:])
    )
    assert torch.equal(hook_of(resumed).scores, hook_of(reference).scores)
    assert resumed.iter == resumed.max_iters == reference.iter


def test_resume_loads_no_batch_that_was_trained_on(tmp_path, monkeypatch):
    changes, stop = CASES['iterations']
    broken = make_runner(tmp_path, **changes)
    broken.register_hook(StopAt(stop))
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    loaded = []
    dataset = type(broken.train_dataloader.dataset)
    original = dataset.__getitem__
    monkeypatch.setattr(
        dataset,
        '__getitem__',
        lambda self, i: loaded.append(i) or original(self, i),
    )
    resumed = train(tmp_path, resume=True, **changes)
    numbers = hook_of(resumed, 'Recorder').numbers
    assert loaded == [number for batch in numbers for number in batch]


def test_other_batch_size_keeps_the_scores_at_the_end_of_an_epoch(tmp_path):
    loop = dict(by_epoch=True, max_epochs=4)
    runner = train(tmp_path, train_cfg=loop, **saving_every())
    resumed = make_runner(
        tmp_path,
        resume=True,
        train_cfg=dict(by_epoch=True, max_epochs=8),
        train_dataloader__batch_size=5,
        optim_wrapper__optimizer__lr=0.0,
    )
    scores = hook_of(runner).scores.clone()
    resumed.register_hook(StopAt(runner.iter))
    with pytest.raises(KeyboardInterrupt):
        resumed.train()
    assert torch.equal(hook_of(resumed).scores, scores)


def test_other_batch_size_goes_on_after_an_epoch_saved_by_iteration(tmp_path):
    changes = saving_every(10)  # the iterations of the first epoch
    runner = make_runner(tmp_path, **changes)
    runner.register_hook(StopAt(12))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    scores = torch.load(tmp_path / 'iter_10.pth', weights_only=False)
    resumed = make_runner(
        tmp_path, resume=True, **changes, train_dataloader__batch_size=5
    )
    resumed.register_hook(StopAt(10))
    with pytest.raises(KeyboardInterrupt):
        resumed.train()
    assert torch.equal(hook_of(resumed).scores, scores['bls']['scores'])
    assert resumed.epoch == 1
    resumed = train(
        tmp_path, resume=True, **changes, train_dataloader__batch_size=5
    )
    recorder = hook_of(resumed, 'Recorder')
    assert recorder.epochs[0] == 1 and recorder.epochs[-1] == 7
    assert resumed.iter == resumed.max_iters < 10 + 7 * 8


@pytest.mark.parametrize('by_epoch', [True, False])
def test_checkpoint_without_scores_can_be_resumed(tmp_path, by_epoch):
    loop = dict(by_epoch=by_epoch)
    loop.update(dict(max_epochs=8) if by_epoch else dict(max_iters=80))
    changes = dict(train_cfg=loop, **saving_every(25))
    stock = make_runner(
        tmp_path,
        **changes,
        train_dataloader__sampler=dict(type='DefaultSampler', shuffle=True),
        custom_hooks=[],
    )
    stock.register_hook(StopAt(30))
    with pytest.raises(KeyboardInterrupt):
        stock.train()
    resumed = train(tmp_path, resume=True, **changes)
    assert resumed.iter == resumed.max_iters < 85
    assert hook_of(resumed, 'Recorder').iters[0] == 25


def test_resume_by_the_method_of_the_runner_is_as_good(tmp_path):
    # With a warm-up, MMEngine itself goes on with other rates.
    linear = dict(
        type='LinearLR',
        by_epoch=False,
        start_factor=1.0,
        end_factor=0.0,
        end=80,
    )
    changes = dict(saving_every(), param_scheduler=linear)
    whole = train(tmp_path / 'first', **changes)
    runner = make_runner(tmp_path / 'second', **changes)
    runner.resume(str(tmp_path / 'first' / 'epoch_4.pth'))
    runner.train()
    assert hook_of(runner, 'Recorder').epochs[0] == 4
    assert_same_end(runner, whole)


@RULES.register_module(force=True)
class KeepsHalf(Pruner):
    """Weighs in the type that comes without thinking."""

    def select_ratio(self, scores, generator, epoch):
        kept = torch.arange(0, len(scores), 2)
        return Selection(kept, torch.full((len(kept),), 2))


@SCORES.register_module(force=True)
class RemembersCount(Score):
    """Remembers an integer."""

    memory = torch.zeros(1, dtype=torch.int64)

    def update(self, scores, indices, loss):
        scores[indices] = loss
        self.memory += 1


def test_own_rules_of_other_types_are_resumed(tmp_path):
    changes = dict(
        saving_every(),
        param_scheduler=SCHEDULE,
        train_dataloader__sampler__pruner=dict(type='KeepsHalf'),
        custom_hooks=[
            dict(type='BLSHook', score=dict(type='RemembersCount')),
            dict(type='Recorder'),
        ],
    )
    broken, resumed = break_off_and_resume(tmp_path / 'broken', 30, **changes)
    assert_same_end(resumed, train(tmp_path / 'whole', **changes))
    assert hook_of(resumed).score.memory == resumed.iter


def test_memory_of_a_rule_is_checked_before_training(tmp_path, monkeypatch):
    monkeypatch.setattr(RemembersCount, 'memory', torch.zeros(1, 1))
    hooks = [dict(type='BLSHook', score=dict(type='RemembersCount'))]
    with pytest.raises(
        ValueError, match='RemembersCount.memory` should have one'
    ):
        train(tmp_path, custom_hooks=hooks)


def test_second_training_on_a_dataloader_has_the_whole_schedule(tmp_path):
    settings = dict(
        train_dataloader__sampler__pruner=dict(
            type='RandomPrune', target_saving=0.4
        ),
        param_scheduler=dict(
            type='CosineAnnealingLR',
            T_max=8,
            by_epoch=True,
            convert_to_iter_based=True,
        ),
    )
    first = train(tmp_path / 'first', **settings)
    config = make_config(tmp_path / 'second', **settings)
    config['train_dataloader'] = first.train_dataloader
    second = Runner(**config, experiment_name='second')
    second.train()
    assert second.param_schedulers[0].T_max == 80
    rates = [hook_of(run, 'Recorder').rates for run in (first, second)]
    assert rates[0] == rates[1]


def test_load_from_alone_starts_with_new_scores(tmp_path):
    train(tmp_path / 'first', **saving_every())
    last = tmp_path / 'first' / 'epoch_8.pth'
    runner = make_runner(tmp_path / 'second', load_from=str(last))
    runner.register_hook(StopAt(0))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert not hook_of(runner).scores.any()


@pytest.mark.parametrize('score', ['MARTScore', 'EMAScore'])
def test_log_says_that_scores_are_of_another_rule(tmp_path, score):
    length = dict(train_cfg__max_epochs=3)
    train(tmp_path, **saving_every(), **length)
    runner = make_runner(
        tmp_path,
        resume=True,
        custom_hooks=[dict(type='BLSHook', score=dict(type=score))],
        **length,
    )
    messages = []
    runner.logger.warning = messages.append
    runner.train()
    told = any('scores of another rule than EMA' in m for m in messages)
    assert told == (score == 'EMAScore')


def hooks_with(first, *args, **kwargs):
    """A hook that saves before or after all others."""
    hook = SavesAt(*args, first=first, **kwargs)
    hooks = [dict(type='BLSHook'), dict(type='Recorder')]
    return [hook, *hooks] if first else [*hooks, hook]


def save_and_resume(work_dir, first, iteration, save, **changes):
    """Break a run off with such a hook; resume it without."""
    broken = make_runner(
        work_dir, custom_hooks=hooks_with(first, iteration, save), **changes
    )
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    path = str(work_dir / 'preempted.pth')
    return train(work_dir, resume=True, load_from=path, **changes)


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize('first', [True, False])
# The middle of the first pass and of a pruned one, and the end of one.
@pytest.mark.parametrize('iteration', [3, 10, 23])
def test_checkpoint_of_a_hook_of_ones_own_is_as_good(
    tmp_path, loop, first, iteration
):
    """Also where it saves before BLSHook has counted the iteration."""
    changes = dict(param_scheduler=SCHEDULE[:2])
    if loop == 'iterations':
        changes['train_cfg'] = dict(by_epoch=False, max_iters=80)
    save = dict(by_epoch=False)
    resumed = save_and_resume(
        tmp_path / 'broken', first, iteration, save, **changes
    )
    # A save rounds scores at another place.
    hooks = hooks_with(first, iteration, save, stops=False)
    reference = train(tmp_path / 'whole', custom_hooks=hooks, **changes)
    recorder = hook_of(resumed, 'Recorder')
    expected = hook_of(reference, 'Recorder')
    for name in ('iters', 'numbers', 'rates', 'losses'):
        assert getattr(recorder, name) == getattr(expected, name)[iteration:]
    assert_same_end(resumed, reference)


# What is left out of the schedule is made up before the first step.
@pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step')
@pytest.mark.parametrize('first', [True, False])
@pytest.mark.parametrize('iteration', [3, 10, 23])
def test_epoch_saved_in_its_middle_as_if_at_its_end_is_left(
    tmp_path, first, iteration
):
    """MMEngine's default, `by_epoch=True`, notes the next epoch."""
    changes = dict(param_scheduler=SCHEDULE[:2])
    resumed = save_and_resume(
        tmp_path / 'broken', first, iteration, {}, **changes
    )
    reference = train(tmp_path / 'whole', **changes)
    whole = hook_of(reference, 'Recorder').epochs
    recorder = hook_of(resumed, 'Recorder')
    next_epoch = whole[iteration - 1] + 1
    assert sorted(set(recorder.epochs)) == list(range(next_epoch, 8))
    assert resumed.epoch == 8
    assert resumed.iter == resumed.max_iters
    planner = hook_of(resumed).planner
    assert planner.current.number + 1 == planner.budget.passes == 8
    assert planner.current.step == planner.budget.steps == 80
    assert planner.visited <= planner.unpruned == 320
    for ours, theirs in zip(
        resumed.param_schedulers, reference.param_schedulers
    ):
        assert ours.last_step == theirs.last_step


@pytest.mark.parametrize('first', [True, False])
def test_iterations_saved_as_an_epoch_reach_the_end_of_the_plan(
    tmp_path, first
):
    """MMEngine then notes an iteration less than were made."""
    changes = dict(
        param_scheduler=SCHEDULE[:2],
        train_cfg=dict(by_epoch=False, max_iters=80),
    )
    resumed = save_and_resume(tmp_path / 'broken', first, 23, {}, **changes)
    assert resumed.iter == resumed.max_iters
    planner = hook_of(resumed).planner
    assert planner.current.step == planner.budget.steps == 80
    assert len(hook_of(resumed, 'Recorder').numbers) == resumed.iter - 22


@pytest.mark.filterwarnings('ignore:Detected call of .scheduler.step')
def test_epochs_that_a_resumed_run_leaves_out_are_left_out(tmp_path):
    """A hook after validation saves when the epoch is counted already."""
    loop = dict(by_epoch=True, max_epochs=3)
    runner = train(tmp_path, train_cfg=loop, **saving_every())
    path = tmp_path / 'epoch_3.pth'
    checkpoint = torch.load(path, weights_only=False)
    checkpoint['meta']['epoch'] = 5
    torch.save(checkpoint, path)
    resumed = train(tmp_path, resume=True, param_scheduler=SCHEDULE[:2])
    assert sorted(set(hook_of(resumed, 'Recorder').epochs)) == [5, 6, 7]
    planner = hook_of(resumed).planner
    assert planner.current.step == planner.budget.steps == 80
    assert planner.visited > runner.iter
    assert resumed.iter == resumed.max_iters


# From a checkpoint in mid-pass

SAVED = dict(
    train_cfg=dict(by_epoch=False, max_iters=75),
    train_dataloader__batch_size=3,  # 40 = 13 * 3 + 1: samples are carried
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=20)
    ),
)


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """A checkpoint in the middle of the second, pruned pass."""
    folder = tmp_path_factory.mktemp('saved')
    runner = make_runner(folder, **SAVED)
    runner.register_hook(StopAt(20))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    saved = torch.load(folder / 'iter_20.pth', weights_only=False)
    state = saved['bls']
    assert len(state['carried']) == 1 and not state['finished']
    assert 0 < int((state['weights'] == 0).sum()) < 40
    return saved


def resume(folder, checkpoint, state, **changes):
    """Resume from the checkpoint with another BLS state."""
    path = folder / 'changed.pth'
    torch.save(dict(checkpoint, bls=state), path)
    runner = make_runner(
        folder, resume=True, load_from=str(path), **dict(SAVED, **changes)
    )
    runner.train()
    return runner


DAMAGE = {
    'no state': (lambda s: [1], r'`bls` of .* should be a dict .* got \[1\]'),
    'entry out of range': (at('weights', 0, 0.5), '`bls.weights` .* got 0.5'),
    'of another dataset': (
        through('scores', lambda t: t[:30]),
        'scores of 30 samples.*`train_dataloader.dataset` has 40',
    ),
    'more done than the pass has': (
        having(done=500),
        r'`bls.done` of .* at most \d+, the length .* but got 500',
    ),
}


@pytest.mark.parametrize('case', DAMAGE)
def test_damaged_state_is_refused_before_training(tmp_path, checkpoint, case):
    damage, message = DAMAGE[case]
    state = damage(checkpoint['bls'])
    with pytest.raises((TypeError, ValueError), match=message):
        resume(tmp_path, checkpoint, state)
    assert not list(tmp_path.glob('iter_*.pth'))


def test_state_loads_without_trust(tmp_path, checkpoint):
    torch.save(checkpoint['bls'], tmp_path / 'bls.pth')
    state = torch.load(tmp_path / 'bls.pth', weights_only=True)
    assert state.keys() == checkpoint['bls'].keys()


@pytest.mark.parametrize('by_epoch', [True, False])
def test_finished_run_has_nothing_left_when_it_is_resumed(tmp_path, by_epoch):
    changes = saving_every() if by_epoch else SAVED
    first = train(tmp_path, **changes)
    again = train(tmp_path, resume=True, **changes)
    assert again.iter == again.max_iters == first.iter
    assert not hook_of(again, 'Recorder').numbers
    assert torch.equal(hook_of(again).scores, hook_of(first).scores)


@pytest.mark.parametrize('max_iters', [1, 13, 18, 20, 21])
def test_run_that_became_shorter_ends(tmp_path, checkpoint, max_iters):
    """The checkpoint has made more than 20 steps in 20 iterations."""
    runner = resume(
        tmp_path,
        checkpoint,
        checkpoint['bls'],
        train_cfg=dict(by_epoch=False, max_iters=max_iters),
    )
    assert not hook_of(runner, 'Recorder').numbers


def test_checkpoint_without_state_starts_new_scores_and_says_so(
    tmp_path, checkpoint
):
    path = tmp_path / 'plain.pth'
    torch.save({k: v for k, v in checkpoint.items() if k != 'bls'}, path)
    runner = make_runner(tmp_path, resume=True, load_from=str(path), **SAVED)
    warnings = []
    runner.logger.warning = warnings.append
    runner.train()
    assert any('saved without BLSHook' in warning for warning in warnings)
    assert hook_of(runner, 'Recorder').iters[0] == 20


def test_state_is_left_alone_by_a_run_without_the_hook(tmp_path):
    """A run of a plain config loads what a pruned one has saved."""
    loop = dict(by_epoch=True, max_epochs=4)
    train(tmp_path, train_cfg=loop, **saving_every())
    plain = dict(
        **saving_every(),
        train_dataloader__sampler=dict(type='DefaultSampler', shuffle=True),
        custom_hooks=[dict(type='Recorder')],
    )
    runner = train(tmp_path, resume=True, **plain)
    assert runner.epoch == 8
    assert len(hook_of(runner, 'Recorder').numbers) == 4 * 10
    saved = torch.load(tmp_path / 'epoch_8.pth', weights_only=False)
    assert 'bls' not in saved
