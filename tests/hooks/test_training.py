"""Whole training runs: what they visit, log and leave alone."""

import pytest
import torch
from mmengine.hooks import Hook
from toy import hook_of, make_runner, train

from bls_mm import SCORES, BLSHook, EMAScore

PERSISTENT = dict(
    train_dataloader__num_workers=2, train_dataloader__persistent_workers=True
)
ITERATIONS = dict(train_cfg=dict(by_epoch=False, max_iters=80))
TOY = dict(type='ToyDataset')
ASPECT = dict(
    train_dataloader__batch_sampler=dict(type='mmdet.AspectRatioBatchSampler')
)
LOADERS = {
    'plain': dict(),
    'workers': dict(train_dataloader__num_workers=2),
    'persistent': PERSISTENT,
    'pinned': dict(train_dataloader__pin_memory=True),
    'drop_last': dict(
        train_dataloader__drop_last=True, train_dataloader__batch_size=7
    ),
    'uneven': dict(train_dataloader__batch_size=7),
    'aspect ratio': ASPECT,
    'aspect ratio, persistent': dict(**ASPECT, **PERSISTENT),
    'iterations': ITERATIONS,
    'iterations, persistent': dict(**ITERATIONS, **PERSISTENT),
    'iterations, uneven': dict(**ITERATIONS, train_dataloader__batch_size=7),
    'iterations, aspect ratio': dict(**ITERATIONS, **ASPECT),
}


@SCORES.register_module(force=True)
class RecordedScore(EMAScore):
    """Write down what each update is told."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.calls = []

    def update(self, scores, indices, loss) -> None:
        self.calls.append((indices.tolist(), float(loss)))
        super().update(scores, indices, loss)


RECORDED = dict(
    custom_hooks=[
        dict(type='BLSHook', score=dict(type='RecordedScore')),
        dict(type='Recorder'),
    ]
)


def loader(name):
    if 'aspect' in name:
        pytest.importorskip('mmdet')
    return LOADERS[name]


@pytest.mark.filterwarnings('ignore:.*pin_memory.*')
@pytest.mark.parametrize('name', LOADERS)
def test_run_scores_its_batches_and_ends_when_the_unpruned_has_seen_as_much(
    tmp_path, name
):
    schedule = [dict(type='PolyLR', by_epoch=False, eta_min=0.0, power=0.9)]
    changes = dict(loader(name), **RECORDED, param_scheduler=schedule)
    runner = train(tmp_path, **changes)
    calls = hook_of(runner).score.calls
    recorder = hook_of(runner, 'Recorder')
    assert len(calls) > 30
    assert [ids for ids, _ in calls] == recorder.numbers
    assert [loss for _, loss in calls] == recorder.losses

    for key in PERSISTENT:  # the same batches without workers
        changes.pop(key, None)
    full = train(tmp_path, **changes, train_dataloader__sampler__pruner=None)
    unpruned = hook_of(full, 'Recorder')
    assert len(recorder.numbers) < 0.95 * len(unpruned.numbers)
    assert runner.max_iters == runner.iter == len(recorder.numbers)
    assert runner.message_hub.get_info('max_iters') == runner.max_iters
    # The schedule has made as many steps, and not one more.
    ends = [r.param_schedulers[0].state_dict() for r in (runner, full)]
    assert ends[0]['last_step'] == ends[1]['last_step']
    assert ends[0]['_global_step'] == ends[1]['_global_step']
    assert runner.optim_wrapper.get_lr() == full.optim_wrapper.get_lr()


def test_first_and_last_epochs_visit_everything(tmp_path):
    recorder = hook_of(train(tmp_path), 'Recorder')
    for epoch in range(8):
        visited = [
            number
            for numbers, e in zip(recorder.numbers, recorder.epochs)
            if e == epoch
            for number in numbers
        ]
        assert len(set(visited)) == len(visited)
        # 8 epochs, delta 0.875: the last one is not pruned.
        assert (len(visited) == 40) == (epoch in (0, 7))


def rates_of(tmp_path, **changes):
    """Learning rate of each iteration, and its epoch."""
    recorder = hook_of(train(tmp_path, **changes), 'Recorder')
    return [rate['lr'][0] for rate in recorder.rates], recorder.epochs


SCHEDULERS = {
    'one cycle': dict(type='OneCycleLR', eta_max=0.5, total_steps=80),
    'cosine': dict(type='CosineAnnealingLR', T_max=80),
    'warm-up': dict(type='LinearLR', start_factor=0.01, end=15),
    'milestones': dict(type='MultiStepLR', milestones=[30, 60]),
}


@pytest.mark.parametrize('name', SCHEDULERS)
def test_schedule_by_iterations_has_the_rates_of_each_epoch(tmp_path, name):
    schedule = [dict(SCHEDULERS[name], by_epoch=False)]
    rates, epochs = rates_of(tmp_path, param_scheduler=schedule)
    full, _ = rates_of(
        tmp_path,
        param_scheduler=schedule,
        train_dataloader__sampler__pruner=None,
    )
    assert len(rates) < len(full) == 80
    assert [rates[epochs.index(e)] for e in range(8)] == full[::10]
    assert set(rates) <= set(full)


@pytest.mark.parametrize('loop', [dict(), ITERATIONS])
@pytest.mark.parametrize('name', ['one cycle', 'cosine'])
def test_schedule_by_iterations_is_followed_evenly(tmp_path, name, loop):
    schedule = [dict(SCHEDULERS[name], by_epoch=False)]
    rates, _ = rates_of(tmp_path, param_scheduler=schedule, **loop)
    full, _ = rates_of(
        tmp_path,
        param_scheduler=schedule,
        train_dataloader__sampler__pruner=None,
        **loop,
    )
    steps = [full.index(rate) for rate in rates]
    advances = [b - a for a, b in zip(steps, steps[1:])]
    assert steps[0] == 0
    assert steps[-1] == 79
    # Passes of 10 steps in 7 iterations or more.
    assert set(advances) == {1, 2}


def test_schedule_by_epoch_is_left_alone(tmp_path):
    schedule = [dict(type='MultiStepLR', by_epoch=True, milestones=[3, 6])]
    recorder = hook_of(train(tmp_path, param_scheduler=schedule), 'Recorder')
    for rate, epoch in zip(recorder.rates, recorder.epochs):
        assert rate['lr'] == [pytest.approx(0.1 * 0.1 ** (epoch // 3))]


def test_schedule_can_be_left_to_the_iteration_count(tmp_path):
    runner = train(
        tmp_path,
        param_scheduler=[dict(type='PolyLR', by_epoch=False)],
        custom_hooks=[
            dict(type='BLSHook', align_schedule=False),
            dict(type='Recorder'),
        ],
    )
    steps = runner.param_schedulers[0].last_step
    assert steps == runner.iter < 80


@pytest.mark.parametrize('loader', [dict(), PERSISTENT, ITERATIONS])
def test_without_pruner_nothing_changes_but_the_scores(tmp_path, loader):
    stock = train(
        tmp_path,
        **loader,
        train_dataloader__sampler=dict(type='DefaultSampler', shuffle=True),
        custom_hooks=[dict(type='Recorder')],
    )
    runner = train(tmp_path, **loader, train_dataloader__sampler__pruner=None)
    for name in ('numbers', 'losses', 'rates', 'epochs', 'iters'):
        ours = getattr(hook_of(runner, 'Recorder'), name)
        assert ours == getattr(hook_of(stock, 'Recorder'), name)
    for ours, theirs in zip(
        runner.model.parameters(), stock.model.parameters()
    ):
        assert torch.equal(ours, theirs)
    assert (hook_of(runner).scores > 0).all()


def test_scalars_tell_share_kept_and_share_saved(tmp_path):
    runner = train(tmp_path)
    scalars = runner.message_hub.log_scalars
    kept = scalars['train/bls_kept'].data[0]
    saved = scalars['train/bls_saved'].data[0]
    numbers = hook_of(runner, 'Recorder').numbers
    visited = sum(len(batch) for batch in numbers)
    assert len(kept) == len(saved) == 8
    assert kept[0] == kept[-1] == 1
    assert sum(kept) * 40 == pytest.approx(visited)
    assert saved[-1] == pytest.approx(1 - visited / 320)
    assert hook_of(runner).visited == visited
    assert hook_of(runner).visited_unpruned == 320


DATASETS = {
    'concat': (
        dict(
            type='ConcatDataset',
            datasets=[
                dict(type='ToyDataset', size=25),
                dict(type='ToyDataset', size=15, offset=25),
            ],
        ),
        40,
    ),
    'repeat': (dict(type='RepeatDataset', dataset=TOY, times=3), 40),
    'balanced': (
        dict(type='ClassBalancedDataset', dataset=TOY, oversample_thr=1.0),
        40,
    ),
    'nested': (
        dict(
            type='ConcatDataset',
            datasets=[
                dict(type='RepeatDataset', dataset=TOY, times=2),
                dict(type='ToyDataset', size=5, offset=40),
            ],
        ),
        45,
    ),
}


@pytest.mark.parametrize('loop', ['epochs', 'iterations'])
@pytest.mark.parametrize('name', DATASETS)
def test_score_belongs_to_the_distinct_sample(tmp_path, name, loop):
    dataset, count = DATASETS[name]
    changes = dict(RECORDED, train_dataloader__dataset=dataset)
    if loop == 'iterations':
        changes.update(ITERATIONS)
    runner = train(tmp_path, **changes)
    hook = hook_of(runner)
    assert hook.scores.shape == (count,)
    numbers = hook_of(runner, 'Recorder').numbers
    assert [ids for ids, _ in hook.score.calls] == numbers


def test_pass_over_repeated_data_is_a_pass_over_the_distinct(tmp_path):
    runner = train(
        tmp_path,
        train_cfg=dict(by_epoch=False, max_iters=50),
        train_dataloader__dataset=dict(
            type='RepeatDataset', dataset=TOY, times=40000
        ),
    )
    kept = runner.message_hub.log_scalars['train/bls_kept'].data[0]
    assert len(kept) == 5  # 200 visits of 40 samples
    assert min(kept) < 0.9
    assert hook_of(runner).visited_unpruned == 200


@pytest.mark.parametrize(
    'pruner', ['InfoBatch', 'SeTa', 'RandomPrune', 'Importance']
)
@pytest.mark.parametrize(
    'changes',
    [
        dict(train_dataloader__dataset=dict(type='ToyDataset', size=1)),
        dict(train_dataloader__dataset=dict(type='ToyDataset', size=3)),
        dict(train_dataloader__batch_size=40),
        dict(
            train_dataloader__batch_size=39, train_dataloader__drop_last=True
        ),
        dict(train_dataloader__sampler__pruner__prune_ratio=0),
        dict(train_dataloader__sampler__pruner__prune_ratio=0.99),
        dict(train_cfg=dict(by_epoch=True, max_epochs=1)),
        dict(train_cfg=dict(by_epoch=False, max_iters=1)),
        dict(
            train_cfg=dict(by_epoch=False, max_iters=7),
            train_dataloader__dataset=dict(type='ToyDataset', size=1),
        ),
    ],
)
@pytest.mark.filterwarnings('ignore:.*drop_last.*')
def test_unusual_data_trains(tmp_path, pruner, changes):
    changes = {
        'train_dataloader__sampler__pruner': dict(type=pruner),
        'train_dataloader__drop_last': False,
        **changes,
    }
    runner = train(tmp_path, **changes)
    recorder = hook_of(runner, 'Recorder')
    assert runner.iter == runner.max_iters == len(recorder.numbers) > 0


def test_every_epoch_has_a_batch_when_the_last_is_dropped(tmp_path):
    runner = train(
        tmp_path,
        train_dataloader__batch_size=39,
        train_dataloader__drop_last=True,
    )
    assert hook_of(runner, 'Recorder').epochs == list(range(8))


def test_seams_between_passes_do_not_sleep(tmp_path, monkeypatch):
    def fail(seconds):
        raise RuntimeError(f'slept for {seconds} s')

    monkeypatch.setattr('mmengine.runner.loops.time.sleep', fail)
    runner = train(tmp_path, **ITERATIONS)
    numbers = hook_of(runner, 'Recorder').numbers
    assert {len(batch) for batch in numbers} == {4}


def test_loss_that_is_not_finite_does_not_enter_a_score(tmp_path):
    runner = train(
        tmp_path,
        model=dict(type='ToyModel', nan_at=3),
        optim_wrapper__optimizer__lr=0.0,
    )
    assert torch.isfinite(hook_of(runner).scores).all()


def test_global_random_state_is_not_touched(tmp_path):
    states = []
    for pruner in (None, dict(type='RandomPrune', prune_ratio=0.0)):
        train(tmp_path, train_dataloader__sampler__pruner=pruner)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


class ExtraPass(Hook):
    """Draw from the training loader in between, as PreciseBNHook does."""

    priority = 'HIGH'

    def look(self, runner):
        for _ in zip(range(3), runner.train_dataloader):
            pass

    def after_train_epoch(self, runner):
        self.look(runner)

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        # With persistent workers that would restart the run's own iterator.
        if runner.iter % 7 == 3 and not runner.train_dataloader.num_workers:
            self.look(runner)


@pytest.mark.parametrize('name', ['plain', 'persistent', 'aspect ratio'])
def test_extra_pass_over_the_loader_changes_nothing(tmp_path, name):
    runs = []
    for hooks in ([], [ExtraPass()]):
        runner = make_runner(tmp_path, **loader(name), **RECORDED)
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        calls = hook_of(runner).score.calls
        assert [ids for ids, _ in calls] == (
            hook_of(runner, 'Recorder').numbers
        )
        runs.append(calls)
    if name != 'aspect ratio':  # interrupted, it restarts its buckets
        assert runs[0] == runs[1]


class RestartWorkers(Hook):
    """Make the loader start over, as YOLOXModeSwitchHook does."""

    def before_train_epoch(self, runner):
        if runner.epoch == 4:
            loader = runner.train_dataloader
            loader._DataLoader__initialized = False
            loader._iterator = None

    def after_train_epoch(self, runner):
        runner.train_dataloader._DataLoader__initialized = True


def test_restarted_workers_change_nothing(tmp_path):
    runs = []
    for hooks in ([], [RestartWorkers()]):
        runner = make_runner(tmp_path, **PERSISTENT, **RECORDED)
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
        runs.append(hook_of(runner).score.calls)
    assert runs[0] == runs[1]


def test_validation_without_a_training_needs_no_scores():
    BLSHook().after_val_epoch(None)
