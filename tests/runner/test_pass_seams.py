"""Workers load the batches of the next pass before the current one is over."""

import os

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import DATASETS
from mmengine.runner.loops import _InfiniteDataloaderIterator
from ranks import train_on
from toy import (
    StopAt,
    ToyDataset,
    hook_of,
    make_runner,
    record_scored,
    train,
)

from bls_mm import RandomPrune
from bls_mm.samplers import batch_tracker

ITERATIONS = 48
FIRST_PASS = 4
DEPTH = 4  # two workers, two batches each
SMALL = dict(
    train_cfg=dict(by_epoch=False, max_iters=ITERATIONS),
    train_dataloader__dataset=dict(type='ToyDataset', size=16),
    train_dataloader__num_workers=2,
    default_hooks=dict(
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1)
    ),
)
# 18 samples are no whole number of batches: some wait for the next pass.
UNEVEN = dict(train_dataloader__dataset=dict(type='ToyDataset', size=18))
PRUNERS = {
    'InfoBatch': dict(type='InfoBatch', prune_ratio=0.7),
    'SeTa': dict(type='SeTa', num_groups=3, window_scale=0.7),
    'target': dict(type='InfoBatch', target_saving=0.3),
}


@DATASETS.register_module(force=True)
class WhoLoads(ToyDataset):
    """A sample knows the process that has loaded it."""

    def __getitem__(self, index):
        return dict(
            super().__getitem__(index), loader=torch.tensor(os.getpid())
        )


class Watch(Hook):
    """Note what is on its way, and who has loaded what came."""

    def __init__(self, drawn=None):
        self.drawn = drawn
        self.on_the_way = []
        self.loaders = set()

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.drawn is not None:
            self.on_the_way.append(len(self.drawn) - runner.iter - 1)
        loaders = data_batch.pop('loader', torch.empty(0))
        self.loaders.update(loaders.tolist())


class Do(Hook):
    """Do something after an iteration."""

    def __init__(self, iteration, action):
        self.iteration = iteration
        self.action = action

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ):
        if runner.iter == self.iteration:
            self.action(runner)


def pruned_by(name):
    return dict(train_dataloader__sampler__pruner=dict(PRUNERS[name]))


def recorded(runner):
    recorder = hook_of(runner, 'Recorder')
    return recorder.numbers, recorder.losses


@pytest.mark.parametrize('persistent', [True, False])
def test_workers_are_started_once(tmp_path, persistent):
    changes = dict(SMALL, train_dataloader__persistent_workers=persistent)
    changes['train_dataloader__dataset'] = dict(type='WhoLoads', size=16)
    runner = make_runner(tmp_path, **changes)
    watch = Watch()
    runner.register_hook(watch, priority='HIGHEST')
    runner.train()
    assert len(watch.loaders) == 2


def test_persistent_workers_make_no_difference(tmp_path):
    runs = [
        train(
            tmp_path / str(persistent),
            **SMALL,
            train_dataloader__persistent_workers=persistent,
        )
        for persistent in (True, False)
    ]
    assert recorded(runs[0]) == recorded(runs[1])


@pytest.mark.parametrize('batch_sampler', ['BatchSampler', 'mmdet'])
def test_workers_never_wait_once_all_samples_have_a_score(
    tmp_path, monkeypatch, batch_sampler
):
    changes = dict(SMALL)
    if batch_sampler == 'mmdet':
        pytest.importorskip('mmdet')
        changes['train_dataloader__batch_sampler'] = dict(
            type='mmdet.AspectRatioBatchSampler'
        )
    drawn = []

    class Counted(batch_tracker.Drawn):
        def __init__(self, *args):
            super().__init__(*args)
            drawn.append(self)

    monkeypatch.setattr(batch_tracker, 'Drawn', Counted)
    runner = make_runner(tmp_path, **changes)
    watch = Watch(drawn)
    runner.register_hook(watch)
    runner.train()
    assert FIRST_PASS < runner.iter < ITERATIONS
    first, rest = watch.on_the_way[:FIRST_PASS], watch.on_the_way[FIRST_PASS:]
    assert first == [3, 2, 1, 0]
    last_pass = hook_of(runner).planner.current.length
    assert rest[:-last_pass] == [DEPTH] * (len(rest) - last_pass)


def test_run_without_a_pruner_has_no_seam_at_all(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        batch_tracker.BatchTracker, 'record', counting_draws(drawn)
    )
    runner = make_runner(
        tmp_path, **SMALL, train_dataloader__sampler__pruner=None
    )
    watch = Watch(drawn)
    runner.register_hook(watch)
    runner.train()
    assert runner.iter == ITERATIONS
    assert watch.on_the_way[:-FIRST_PASS] == [DEPTH] * (
        ITERATIONS - FIRST_PASS
    )


def counting_draws(drawn):
    record = batch_tracker.BatchTracker.record

    def counted(self, draw):
        for batch in record(self, draw):
            drawn.append(batch)
            yield batch

    return counted


@pytest.mark.parametrize('pruner', PRUNERS)
@pytest.mark.parametrize('changes', [dict(), UNEVEN], ids=['even', 'uneven'])
def test_what_is_said_to_be_visited_is(tmp_path, pruner, changes):
    changes = {**SMALL, **changes, **pruned_by(pruner)}
    changes['train_cfg'] = dict(by_epoch=False, max_iters=200)
    del changes['default_hooks']
    runner = make_runner(tmp_path, **changes)
    scored = []
    record_scored(runner, scored)
    runner.train()
    numbers, hook = recorded(runner)[0], hook_of(runner)
    hook.scores  # noqa: B018  scores what waits
    assert scored == numbers
    assert hook.visited == sum(map(len, numbers)) < hook.visited_unpruned
    if pruner == 'target':
        assert hook.planner.saved == pytest.approx(0.3, abs=0.01)


@pytest.mark.parametrize('pruner', PRUNERS)
def test_resume_near_a_seam_is_exact(tmp_path, pruner):
    changes = dict(SMALL, **UNEVEN, **pruned_by(pruner))
    whole = train(tmp_path, **changes)
    numbers, losses = recorded(whole)
    planned = 0
    for stop in range(FIRST_PASS - 1, FIRST_PASS + 12):
        path = tmp_path / f'iter_{stop}.pth'
        state = torch.load(path, weights_only=False)['bls']
        planned = max(planned, len(state['planned']))
        resumed = train(
            tmp_path / str(stop), load_from=str(path), resume=True, **changes
        )
        assert recorded(resumed) == (numbers[stop:], losses[stop:])
        ours, theirs = hook_of(resumed), hook_of(whole)
        assert torch.equal(ours.scores, theirs.scores)
        assert ours.visited == theirs.visited
        assert resumed.max_iters == whole.max_iters
        for p, q in zip(resumed.model.parameters(), whole.model.parameters()):
            assert torch.equal(p, q)
    assert planned > 1


def test_passes_that_were_selected_do_not_depend_on_workers(tmp_path):
    whole = train(tmp_path, **SMALL)
    stop = FIRST_PASS + 2
    path = tmp_path / f'iter_{stop}.pth'
    state = torch.load(path, weights_only=False)['bls']
    assert state['planned']
    alone = train(
        tmp_path / 'alone',
        load_from=str(path),
        resume=True,
        **dict(SMALL, train_dataloader__num_workers=0),
    )
    numbers, ours = recorded(whole)[0], recorded(alone)[0]
    sizes = [int((weights > 0).sum()) or 16 for weights in state['planned']]
    count = (sum(sizes) - sizes[0] % 4) // 4
    assert ours[:count] == numbers[stop : stop + count]


def test_ranks_agree(tmp_path):
    changes = dict(SMALL)
    changes['train_dataloader__dataset'] = dict(type='ToyDataset', size=34)
    results = train_on(2, tmp_path / 'run', **changes)
    first, second = results
    assert first['iters'] == second['iters']
    assert first['iters'][0] < ITERATIONS
    assert torch.equal(first['scores'], second['scores'])
    assert first['visited'] == second['visited']
    assert first['merges'] == second['merges']
    visited = sum(len(n) for r in results for n in r['numbers'])
    assert visited == first['visited']


def peek(runner):
    next(iter(runner.train_dataloader))


def read_all(runner):
    for _ in runner.train_dataloader:
        pass


def halve_batches(runner):
    runner.train_dataloader.batch_sampler.batch_size = 2


def skip_a_batch(runner):
    next(runner.train_loop.dataloader_iterator)


def rebuild(runner):
    loop = runner.train_loop
    cfg = dict(
        dataset=dict(type='ToyDataset', size=16),
        sampler=dict(type='BLSSampler', pruner=dict(PRUNERS['InfoBatch'])),
        batch_size=4,
        num_workers=2,
        collate_fn=dict(type='default_collate'),
    )
    loader = runner.build_dataloader(cfg, seed=0)
    loop.dataloader_iterator = _InfiniteDataloaderIterator(loader)


@pytest.mark.parametrize(
    'action', [peek, read_all, halve_batches, skip_a_batch, rebuild]
)
@pytest.mark.parametrize('iteration', [5, 7, 9])
def test_whatever_a_hook_does_samples_get_their_own_loss(
    tmp_path, action, iteration
):
    runner = make_runner(tmp_path, **SMALL, **pruned_by('InfoBatch'))
    runner.register_hook(Do(iteration, action))
    scored = []
    record_scored(runner, scored)
    runner.train()
    hook = hook_of(runner)
    hook.scores  # noqa: B018  scores what waits
    numbers = recorded(runner)[0]
    assert scored == numbers
    assert runner.iter == runner.max_iters
    if action is not halve_batches:
        assert hook.visited == sum(map(len, numbers))


@pytest.mark.parametrize('persistent', [True, False])
def test_reading_alongside_changes_nothing(tmp_path, persistent):
    class ReadsToo(Hook):
        def after_train_iter(
            self, runner, batch_idx, data_batch=None, outputs=None
        ):
            if batch_idx % 5 == 4:
                self.batches = iter(runner.train_dataloader)
            elif batch_idx > 4 and not persistent:
                next(self.batches, None)

    changes = dict(SMALL, train_dataloader__persistent_workers=persistent)
    whole = train(tmp_path / 'whole', **changes)
    runner = make_runner(tmp_path / 'read', **changes)
    runner.register_hook(ReadsToo())
    scored = []
    record_scored(runner, scored)
    runner.train()
    hook_of(runner).scores  # noqa: B018  scores what waits
    assert scored == recorded(runner)[0]
    if not persistent:
        assert recorded(runner) == recorded(whole)


class FailsAhead(RandomPrune):
    def select(self, scores, generator, epoch=0, share=None):
        if epoch == 4:
            raise ZeroDivisionError('of a rule')
        return super().select(scores, generator, epoch, share)


@pytest.mark.parametrize('failing', ['hook', 'pruner'])
def test_exception_leaves_nothing_behind(tmp_path, failing):
    runner = make_runner(tmp_path, **SMALL)
    loader = runner.train_dataloader
    classes = type(loader), type(loader.batch_sampler), type(runner.train_loop)
    error = KeyboardInterrupt
    if failing == 'hook':
        runner.register_hook(StopAt(10))
    else:
        loader.sampler.pruner = FailsAhead()
        error = ZeroDivisionError
    with pytest.raises(error):
        runner.train()
    assert runner.iter > FIRST_PASS
    assert classes == (
        type(loader),
        type(loader.batch_sampler),
        type(runner.train_loop),
    )
    assert not loader.persistent_workers
    loader.sampler.pruner = None
    indices = [i for batch in loader.batch_sampler for i in batch]
    assert sorted(indices) == list(range(16))
